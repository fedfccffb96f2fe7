/* fuzz_yaml: any bytes as a config. What is accepted is written and must be read back as the same bytes. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/config.h"
#include "base/status.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    static struct config config, back;
    char *yaml = NULL;
    memset(&config, 0, sizeof config);
    memset(&back, 0, sizeof back);
    trace_clear();
    options_default(config_options(), &config);
    options_default(config_options(), &back);
    if (options_parse_yaml(config_options(), (const char *)bytes, n_bytes, "fuzz", &config) != OK)
        return 0;
    if (options_write_yaml(config_options(), &config, &yaml) != OK || options_parse_yaml(config_options(), yaml, strlen(yaml), "written", &back) != OK)
        abort();
    if (memcmp(&config, &back, sizeof config) != 0)
        abort();
    free(yaml);
    return 0;
}
