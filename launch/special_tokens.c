/* special_tokens: as the encoder of the backbone's folder has them. */
#include "launch/special_tokens.h"

#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "dataset/encode.h"

static int fill(const struct config *config, const struct encoder *encoder, struct special_tokens *out)
{
    struct shard_meta meta;
    const char *text = *config->reward.token ? config->reward.token : encoder->template.reward;
    size_t n_bytes = strlen(text);
    CHECK_USAGE(n_bytes < sizeof out->reward_text, "reward.token is longer than %zu bytes", sizeof out->reward_text - 1);
    TRY(encoder_meta(encoder, config->backbone.path, &meta));
    *out = (struct special_tokens){.reward = encoder->reward, .end_of_turn = encoder->end_of_turn};
    memcpy(out->reward_text, text, n_bytes + 1);
    snprintf(out->tokenizer, sizeof out->tokenizer, "%s", meta.tokenizer);
    snprintf(out->template, sizeof out->template, "%s", meta.template);
    return OK;
}

int special_tokens_read(const struct config *config, struct special_tokens *out)
{
    struct encoder *encoder;
    TRY(encoder_open(config, &encoder));
    int status = fill(config, encoder, out);
    encoder_close(&encoder);
    return status;
}

int special_tokens_check(const struct special_tokens *tokens, const struct dsub *dsub, const char *where)
{
    CHECK(strcmp(tokens->tokenizer, dsub->meta.tokenizer) == 0, "%s was made with another tokenizer (%s, the backbone's is %s): import it again with this backbone", where,
          dsub->meta.tokenizer, tokens->tokenizer);
    CHECK(strcmp(tokens->template, dsub->meta.template) == 0,
          "%s was made with another chat template or critique instruction (%s, this config's is %s): set data.template, data.system and data.critique_prompt as they were, or import it again", where,
          dsub->meta.template, tokens->template);
    return OK;
}
