/* census_priv.h: what the files of the census share. */
#ifndef BERTH_CENSUS_PRIV_H
#define BERTH_CENSUS_PRIV_H

#include "berth/census.h"
#include "data/data_priv.h"

/* What the tasks find in a split that is there: split->tasks. */
berth_status census_labels(struct berth_census_split *split, const struct berth_data *d,
                           const struct specs *specs, size_t source, enum berth_split which) BERTH_CHECKED;
void census_labels_deinit(struct berth_census_labels *l);

#endif /* BERTH_CENSUS_PRIV_H */
