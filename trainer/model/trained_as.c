/* trained_as: see trained_as.h. */
#include "trainer/model/trained_as.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/config.h"
#include "base/file.h"
#include "base/json.h"
#include "base/status.h"

static const char FILE_NAME[] = "critic-rm.json", FORMAT[] = "critic-rm model";
static const char *const modes[] = {[MODE_CRITIC_RM] = "critic-rm", [MODE_REWARD_ONLY] = "reward-only", [MODE_CRITIQUE_ONLY] = "critique-only", [MODE_JOINT] = "joint"};
enum { N_MODES = sizeof modes / sizeof *modes };

const char *trained_mode_name(int mode) { return modes[mode]; }

int trained_as_write(const char *folder, const struct trained_as *t)
{
    char path[2048];
    json_t *root = json_pack("{s:s, s:s, s:s, s:s}", "format", FORMAT, "mode", modes[t->mode], "tokenizer", t->tokenizer, "template", t->template);
    char *text = root ? json_dumps(root, JSON_INDENT(1)) : NULL;
    json_decref(root);
    CHECK(text, "out of memory while writing %s", FILE_NAME);
    int status = path_join(path, sizeof path, folder, FILE_NAME);
    if (status == OK)
        status = file_write_atomic(path, text, strlen(text));
    free(text);
    return status;
}

static int copy_hash(json_t *root, const char *key, const char *where, char out[17])
{
    const char *text;
    TRY(json_get_text(root, key, where, &text));
    CHECK(strlen(text) == 16, "%s: \"%s\" is not a hash of 16 digits", where, key);
    memcpy(out, text, 17);
    return OK;
}

static int parse(json_t *root, const char *where, struct trained_as *out)
{
    const char *format, *mode;
    TRY(json_get_text(root, "format", where, &format));
    CHECK(strcmp(format, FORMAT) == 0, "%s: its format is '%.40s', not '%s'", where, format, FORMAT);
    TRY(json_get_text(root, "mode", where, &mode));
    for (out->mode = 0; out->mode < N_MODES && strcmp(modes[out->mode], mode) != 0; out->mode++) {}
    CHECK(out->mode < N_MODES, "%s: there is no mode '%.40s'", where, mode);
    TRY(copy_hash(root, "tokenizer", where, out->tokenizer));
    return copy_hash(root, "template", where, out->template);
}

int trained_as_read(const char *folder, struct trained_as *out, bool *found)
{
    char path[2048];
    json_t *root;
    TRY(path_join(path, sizeof path, folder, FILE_NAME));
    *found = file_exists(path);
    if (!*found)
        return OK;
    TRY(json_parse_file(path, &root));
    int status = parse(root, path, out);
    json_decref(root);
    return status;
}
