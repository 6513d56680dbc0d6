/* make_model.c: writes a model folder of given sizes with generated weights, for tests of the commands.
 *
 *     make_model FOLDER VOCAB_FOLDER LAYERS HIDDEN HEADS INTERMEDIATE [distilbert | poison=PARAMETER]
 *
 * poison: the first value of that parameter is not a number. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "berth/model.h"

static berth_status poison(struct berth_model *m, const char *name) {
    int index = berth_model_find(m, name);
    if (index < 0) BERTH_FAIL(BERTH_E_USAGE, "no parameter '%s'", name);
    float *values = NULL;
    BERTH_TRY(berth_calloc(&values, (size_t)m->parameters[index].count, sizeof values[0]));
    berth_status status = berth_model_get(m, index, values);
    values[0] = NAN;
    if (status == BERTH_OK) status = berth_model_set(m, index, values);
    free(values);
    return status;
}

static berth_status make(char **argv, const char *poisoned, bool distilbert) {
    berth_status status = BERTH_OK;
    struct berth_device *device = NULL;
    struct berth_model *m = NULL;
    struct berth_tokenizer *tokenizer = NULL;
    struct berth_model_config config;
    berth_model_config_init(&config);
    BERTH_TRY_OUT(berth_device_open(&device, "cpu"));
    BERTH_TRY_OUT(berth_tokenizer_load(&tokenizer, argv[2]));
    config.vocab_size = (int64_t)berth_tokenizer_size(tokenizer);
    config.layers = atoi(argv[3]);
    config.hidden = atoi(argv[4]);
    config.heads = atoi(argv[5]);
    config.intermediate = atoi(argv[6]);
    if (distilbert) {
        BERTH_TRY_OUT(berth_strdup(&config.model_type, "distilbert"));
        config.pooler = false;
        config.segments = 0;
    }
    BERTH_TRY_OUT(berth_model_create(&m, device, &config));
    BERTH_TRY_OUT(berth_model_allocate(m, 3));
    if (poisoned) BERTH_TRY_OUT(poison(m, poisoned));
    BERTH_TRY_OUT(berth_model_save(m, tokenizer, argv[1]));
out:
    berth_model_config_deinit(&config);
    berth_tokenizer_free(tokenizer);
    berth_model_free(m);
    berth_device_close(device);
    return status;
}

int main(int argc, char **argv) {
    if (argc < 7) {
        fprintf(stderr, "usage: make_model FOLDER VOCAB_FOLDER LAYERS HIDDEN HEADS INTERMEDIATE "
                        "[distilbert | poison=PARAMETER]\n");
        return 2;
    }
    const char *poisoned = argc > 7 && strncmp(argv[7], "poison=", 7) == 0 ? argv[7] + 7 : NULL;
    berth_status status = make(argv, poisoned, argc > 7 && strcmp(argv[7], "distilbert") == 0);
    if (status != BERTH_OK) fprintf(stderr, "make_model: %s\n", berth_error_text());
    return berth_status_exit_code(status);
}
