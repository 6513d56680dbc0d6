/* cmd_doctor.c: `berth doctor`: what this build runs on, and what it lacks. */
#include "cli/cli_priv.h"

static berth_status print_device(struct berth_str *s) {
    struct berth_device *device = NULL;
    BERTH_TRY(berth_device_open(&device, "auto"));
    berth_device_describe(device, s);
    if (s->length > 0 && s->data[s->length - 1] != '\n') berth_str_add(s, "\n");
    berth_device_close(device);
    return BERTH_OK;
}

/* Whether the device cuda can be opened, and why not. */
static void print_cuda(struct berth_str *s) {
    struct berth_device *device = NULL;
    if (berth_device_open(&device, "cuda") == BERTH_OK) {
        berth_device_close(device);
        return;
    }
    berth_str_addf(s, "lacking: %s\n", berth_error_text());
    berth_error_clear();
}

static berth_status run(const struct cli_args *args) {
    (void)args;
    struct berth_str s;
    berth_str_init(&s);
    berth_str_addf(&s, "berth: %s\n", BERTH_VERSION);
    berth_str_addf(&s, "compiler: %s\n", __VERSION__);
    berth_status status = print_device(&s);
    berth_str_add(&s, "devices of this build: ");
    berth_device_names(&s);
    berth_str_add(&s, "\n");
    print_cuda(&s);
    berth_str_add(&s, "lacking: MPI (this build runs as one process)\n");
    if (status == BERTH_OK) status = cli_out_str(&s);
    berth_str_deinit(&s);
    return status;
}

static const struct cli_option options[] = {{NULL, NULL, NULL}};

const struct cli_command cli_doctor = {
    .name = "doctor",
    .usage = "",
    .summary = "what this build runs on, and what it lacks",
    .details = "Prints the version, processor, threads, device and libraries, and what this build lacks.",
    .options = options,
    .min_positional = 0,
    .max_positional = 0,
    .run = run,
};
