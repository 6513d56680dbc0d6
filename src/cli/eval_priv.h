/* eval_priv.h: the parts of `berth eval`: cmd_eval.c scores, eval_data.c makes a configuration of options. */
#ifndef BERTH_EVAL_PRIV_H
#define BERTH_EVAL_PRIV_H

#include "cli/cli_priv.h"

/* The configuration that --data, --label and the options of texts describe. split: "dev", "test" or "train". */
berth_status eval_config_of_data(struct berth_config **out, const struct cli_args *args, const char *split,
                                 const char *const *overrides, size_t override_count) BERTH_CHECKED;

#endif /* BERTH_EVAL_PRIV_H */
