/* score_item: see score_item.h. */
#include "launch/score_item.h"

#include "base/json.h"

int score_item_read(json_t *item, const char *where, struct message *prompt, int *n, struct text *response)
{
    json_t *value;
    struct message scratch[MAX_MESSAGES];
    CHECK(json_is_object(item), "%s: not a JSON object", where);
    TRY(json_get(item, "prompt", where, &value));
    TRY(messages_of_prompt(value, where, prompt, n));
    TRY(json_get(item, "response", where, &value));
    return messages_of_response(value, where, scratch, response);
}

int score_item_finish(json_t *item, const struct scored *scored, int64_t max_position)
{
    CHECK(scored->lacks_mb == 0, "generate.kv_memory_mb is too small for the response: with prompt and instruction it has %lld tokens, and what follows them must be held too: raise it to %lld",
          (long long)scored->n_path, (long long)scored->lacks_mb);
    CHECK(!scored->no_room, "the response leaves no room for a critique: with prompt and instruction it has %lld tokens, and the model reads %lld", (long long)scored->n_path,
          (long long)max_position);
    json_t *rewards = json_array(), *critiques = json_array();
    for (int32_t i = 0; i < scored->n; i++) {
        json_array_append_new(rewards, json_real((double)scored->reward[i]));
        if (scored->critique[i])
            json_array_append_new(critiques, json_string(scored->critique[i]));
    }
    json_object_set_new(item, "reward", json_real(scored_mean(scored)));
    json_object_set_new(item, "rewards", rewards);
    json_object_set_new(item, "critiques", critiques);
    return OK;
}
