/* messages: see messages.h. */
#include "dataset/messages.h"

#include <string.h>

#include "base/json.h"
#include "base/status.h"

int messages_of_list(json_t *list, const char *where, struct message *out, int *n)
{
    size_t i;
    json_t *one;
    CHECK(json_array_size(list) > 0 && json_array_size(list) <= MAX_MESSAGES, "%s: a list of messages is empty, or longer than %d", where, MAX_MESSAGES);
    json_array_foreach(list, i, one) {
        json_t *content;
        TRY(json_get_text(one, "role", where, &out[i].role));
        TRY(json_get(one, "content", where, &content));
        CHECK(json_is_string(content), "%s: the content of message %zu is not a string", where, i);
        out[i].text = json_string_value(content);
        out[i].n_bytes = json_string_length(content);
    }
    *n = (int)json_array_size(list);
    return OK;
}

static const char HUMAN[] = "\n\nHuman:", ASSISTANT[] = "\n\nAssistant:";

bool messages_is_transcript(json_t *value) { return json_is_string(value) && strncmp(json_string_value(value), HUMAN, strlen(HUMAN)) == 0; }

/* The next mark at or after `from`, or NULL; *role and its length. */
static const char *next_mark(const char *from, const char **role, size_t *length)
{
    const char *human = strstr(from, HUMAN), *assistant = strstr(from, ASSISTANT);
    bool user = human && (!assistant || human < assistant);
    *role = user ? "user" : "assistant";
    *length = user ? strlen(HUMAN) : strlen(ASSISTANT);
    return user ? human : assistant;
}

/* The next mark of the other speaker. A mark of the one who speaks already opens no turn: in HH it follows a turn of the other's that is written without its mark, and stays in the text. */
static const char *next_turn(const char *from, const char *speaker, const char **role, size_t *length)
{
    const char *at = next_mark(from, role, length);
    while (at && strcmp(*role, speaker) == 0)
        at = next_mark(at + *length, role, length);
    return at;
}

int messages_of_transcript(const char *text, const char *where, struct message *out, int *n)
{
    const char *role, *next_role;
    size_t length, next_length;
    *n = 0;
    for (const char *at = next_mark(text, &role, &length); at; role = next_role, length = next_length) {
        const char *begin = at + length, *end = next_turn(begin, role, &next_role, &next_length);
        size_t n_bytes = end ? (size_t)(end - begin) : strlen(begin);
        while (n_bytes > 0 && strchr(" \t\n", *begin)) {
            begin++;
            n_bytes--;
        }
        while (n_bytes > 0 && strchr(" \t\n", begin[n_bytes - 1]))
            n_bytes--;
        CHECK(*n < MAX_MESSAGES, "%s: a transcript of more than %d turns", where, MAX_MESSAGES);
        out[(*n)++] = (struct message){role, begin, n_bytes};
        at = end;
    }
    return OK;
}

int messages_of_prompt(json_t *prompt, const char *where, struct message *out, int *n)
{
    if (json_is_array(prompt))
        return messages_of_list(prompt, where, out, n);
    CHECK(json_is_string(prompt), "%s: \"prompt\" is neither a string nor a list of messages", where);
    if (!messages_is_transcript(prompt)) {
        out[0] = (struct message){"user", json_string_value(prompt), json_string_length(prompt)};
        *n = 1;
        return OK;
    }
    TRY(messages_of_transcript(json_string_value(prompt), where, out, n));
    if (*n > 0 && strcmp(out[*n - 1].role, "assistant") == 0 && out[*n - 1].n_bytes == 0)
        (*n)--;
    return OK;
}

int messages_of_response(json_t *response, const char *where, struct message *scratch, struct text *out)
{
    int n;
    if (json_is_string(response)) {
        *out = (struct text){json_string_value(response), json_string_length(response)};
        return OK;
    }
    CHECK(json_is_array(response), "%s: a response is neither a string nor a list of messages", where);
    TRY(messages_of_list(response, where, scratch, &n));
    CHECK(n == 1 && strcmp(scratch[0].role, "assistant") == 0, "%s: a response that is a list must be one message, the assistant's", where);
    *out = (struct text){scratch[0].text, scratch[0].n_bytes};
    return OK;
}
