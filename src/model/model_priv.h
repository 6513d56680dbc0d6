/* model_priv.h: what the files of src/model share.
 *
 * Life of a model: a folder's tensors are found by name and checked (model_folder.c) and wait as
 * `model_pending`; heads are added or dropped; berth_model_allocate lays the table of parameters out, moves the
 * waiting tensors into the flat buffer, draws the rest, and lets the file go.
 */
#ifndef MODEL_PRIV_H
#define MODEL_PRIV_H

#include "berth/json.h"
#include "berth/task_gradients.h"

/* ---- model_config.c */
berth_status model_config_read(struct berth_model_config *c, const char *path) BERTH_CHECKED;
/* Sizes that no model may have (hidden not a multiple of heads, ...): `code`, and one line beginning with
 * `name`. */
berth_status model_config_check(const struct berth_model_config *c, berth_status code,
                                const char *name) BERTH_CHECKED;
/* The fields of config.json of the folder's family: ',\n  "key": value' for each, into a begun JSON object. */
void model_config_write(const struct berth_model_config *c, struct berth_str *out);
bool model_is_distilbert(const struct berth_model_config *c);

/* ---- param_spec.c: the table of parameters; what was there before is replaced. Sets heads' weight and bias.
 */
berth_status param_spec_build(struct berth_model *m) BERTH_CHECKED;
void param_spec_clear(struct berth_model *m);
/* Stages of the forward pass: 0 embeddings, l+1 layer l, then: */
static inline int model_stage_pooler(const struct berth_model *m) {
    return (int)m->config.layers + 1;
}
static inline int model_stage_heads(const struct berth_model *m) {
    return (int)m->config.layers + 2;
}

/* ---- tensor_names.c: names of files <-> berth's names */
enum tensor_use { TENSOR_WANTED, TENSOR_SPARE, TENSOR_IGNORED, TENSOR_UNKNOWN };
/* The name berth gives to a tensor of a file (prefixes, gamma/beta, DistilBERT's names); `out` is appended to.
 * TENSOR_SPARE: of a masked language model, kept by its own name for a head that wants it. TENSOR_IGNORED: buffers and
 * other pre-training heads that every folder may carry. */
enum tensor_use tensor_name_read(const char *file_name, struct berth_str *out);
/* The name a parameter gets in a written folder of this family; prefix: "", "bert." or "distilbert.". */
void tensor_name_write(const char *name, bool distilbert, const char *prefix, struct berth_str *out);

/* ---- torch_zip.c: members of a zip archive; views of its bytes */
struct zip_member {
    const char *name; /* not ended by a zero byte */
    size_t name_length;
    const unsigned char *data;
    size_t size;
    bool stored; /* data are its bytes as they are: not compressed, not encrypted */
};
struct zip_members {
    struct zip_member *list; /* [count] sorted by name */
    size_t count;
};
/* `file` is the name in messages. Every member's bytes lie within `bytes`. */
berth_status zip_members_read(struct zip_members *out, const char *file, const unsigned char *bytes,
                              size_t size) BERTH_CHECKED;
void zip_members_deinit(struct zip_members *m);
const struct zip_member *zip_members_find(const struct zip_members *m, const char *name, size_t length);

/* ---- torch_pickle.c: the dictionary of tensors in a PyTorch checkpoint */
struct torch_tensor {
    char *name;        /* owned */
    const char *dtype; /* as in safetensors: "F32", ... */
    int element_bytes, rank;
    int64_t shape[8], count;
    int64_t offset, storage_elements; /* elements */
    const char *storage_key;          /* in the pickle */
    size_t storage_key_length;
    bool contiguous; /* rows one after the other */
};
struct torch_tensors {
    struct torch_tensor *list;
    size_t count;
};
/* Executes nothing. Views of `bytes` (storage_key). */
berth_status torch_pickle_read(struct torch_tensors *out, const char *file, const void *bytes,
                               size_t size) BERTH_CHECKED;
void torch_tensors_deinit(struct torch_tensors *t);

/* ---- weights.c: all tensors of a folder, from one file or several */
struct weights_file {
    char *name; /* in the folder; owned */
    struct berth_safetensors *safe;
    struct berth_torch *torch; /* one of the two */
};
struct model_weights {
    char *path; /* the file that was found first, for messages: weights or index; owned */
    struct weights_file *files;
    size_t file_count, file_capacity;
    const struct berth_safetensor **tensors; /* [count] sorted by name; borrowed from the files */
    size_t count, capacity;
};
/* model.safetensors, its index of several, pytorch_model.bin, its index: the first that is there. */
berth_status weights_open(struct model_weights *out, const char *folder) BERTH_CHECKED;
void weights_close(struct model_weights *w);
const struct berth_safetensor *weights_find(const struct model_weights *w, const char *name);

/* ---- model_folder.c: tensors of a folder that wait for berth_model_allocate */
struct model_source {
    char *name; /* berth's; owned */
    const struct berth_safetensor *tensor;
};
struct model_pending {
    struct model_weights weights; /* owned */
    char *folder;                 /* owned */
    struct model_source *sources; /* [count] sorted by name */
    size_t count, capacity;
};
void model_pending_free(struct model_pending *p);
/* Drops the tensors whose name begins so: their parameters are drawn. */
void model_pending_forget(struct model_pending *p, const char *prefix);
const struct model_source *model_pending_find(const struct model_pending *p, const char *name);
/* Float values first .. first+count-1 of a tensor of type F32, F16 or BF16. */
void tensor_to_float(float *to, const struct berth_safetensor *t, int64_t first, int64_t count);

/* ---- model_save.c, save_sentences.c */
/* Writes folder/name. */
berth_status save_text(const char *folder, const char *name, const char *text) BERTH_CHECKED;
/* What sentence-transformers reads beside the model: modules.json and a folder a module. */
berth_status save_sentences(const struct berth_model *m, const struct berth_save_options *options,
                            const char *folder) BERTH_CHECKED;

/* ---- task_gradients.c: for the pass. NULL g: gradients are of all tasks in one. */
/* Where a parameter's gradient goes (of group 0), and floats to the next group's; 0: not split. */
float *task_gradient_place(const struct berth_task_gradients *g, int parameter, float *whole);
int64_t task_gradient_stride(const struct berth_task_gradients *g, int parameter);
/* At a pass's beginning: tells the tape which packed rows are whose, or takes memory for the representation's. */
berth_status task_gradient_pass(struct berth_task_gradients *g, struct berth_tape *tape,
                                int64_t tokens) BERTH_CHECKED;
/* Operations of this head from here on; -1: of all rows. Nothing for NULL. */
void task_gradient_head(const struct berth_task_gradients *g, struct berth_tape *tape, int head);
/* [T] each: rows of the tokens' gradients (NULL: the tokens), orders of tokens, positions, segments by group. */
void task_gradient_lists(const struct berth_task_gradients *g, const int32_t *lists[4]);
/* The hidden states with a look at this head's gradient, where it is that which is wanted; else *hidden stays. */
berth_status task_gradient_tap(const struct berth_task_gradients *g, struct berth_tape *tape, int head,
                               struct berth_tensor **hidden) BERTH_CHECKED;

/* ---- heads_file.c: berth_heads.json */
#define HEADS_FILE_FORMAT 1
struct heads_file_tensor {
    char *part, *name; /* "weight", "classifier.weight"; owned */
};
/* A head, and the names of its tensors in the folder's file where they are not heads.NAME.PART. */
struct heads_file_entry {
    struct berth_head head;            /* owned; weight and bias unused */
    struct heads_file_tensor *tensors; /* owned */
    size_t tensor_count, tensor_capacity;
};
berth_status heads_file_add_tensor(struct heads_file_entry *e, const char *part, const char *name) BERTH_CHECKED;
berth_status heads_file_read(struct heads_file_entry **out, int *count, const char *path) BERTH_CHECKED;
void heads_file_free(struct heads_file_entry *entries, int count);
struct reference_form;
/* form: the class that the folder is written as; NULL: tensors of heads have their own names. */
berth_status heads_file_text(const struct berth_model *m, const struct reference_form *form, char **out) BERTH_CHECKED;

/* ---- reference_head.c: classes of the reference library that have one head on top */
enum reference_place { REFERENCE_NONE, REFERENCE_SEQUENCE, REFERENCE_TOKENS, REFERENCE_MLM };
struct reference_part {
    const char *part, *tensor; /* of heads.NAME.PART; of the folder */
};
struct reference_form {
    const char *class_name;
    bool distilbert;
    enum reference_place place;
    const struct reference_part *parts; /* ended by NULL */
    const char *decoder;                /* mlm: the tensor that must be the token embeddings where it is there */
};
/* The class that a model with one head is; NULL: none. */
const struct reference_form *reference_form_of(const struct berth_model *m);
const struct reference_form *reference_mlm_form(bool distilbert);
const char *reference_part_name(const struct reference_form *form, const char *part); /* NULL: no such part */
/* The head of a folder that the reference wrote, from its config.json at `path`; *count 0: it has none. */
berth_status reference_head_read(struct heads_file_entry **out, int *count, const char *path,
                                 const struct model_weights *weights) BERTH_CHECKED;

/* ---- head.c */
void head_deinit(struct berth_head *head);
berth_status head_copy(struct berth_head *to, const struct berth_head *from) BERTH_CHECKED;
/* Layers that heads read, heads whose parameters others use: what can only be said of all of them together. */
berth_status head_check_all(const struct berth_model *m) BERTH_CHECKED;
/* The folder's tensor of its own masked language model for a parameter of an mlm head; NULL: none. */
const struct model_source *head_mlm_source(const struct berth_model *m, const struct berth_parameter *p);
/* Adds without looking for one of the same name. */
berth_status head_append(struct berth_model *m, const struct berth_head *head) BERTH_CHECKED;

/* ---- one forward pass: backbone.c, pooling.c, head_*.c */
struct forward_run {
    struct berth_model *m;
    struct berth_tape *tape;
    const struct berth_batch *batch;
    const struct berth_forward_options *options;
    int first_trainable; /* stage; INT_MAX: nothing is trained */
    const uint32_t *key; /* device memory [3]; NULL: no dropout anywhere */
    const int32_t *cu_seqlens, *positions, *row_ordinal, *ordinal; /* device memory, the batch's */
    int layers; /* of the backbone that this pass runs: up to the highest that is read */
    bool keeps; /* m->layers are filled: heads read more than the last layer */
    const struct berth_model_graphs *graphs; /* the pass is theirs: arrays are in device memory already; else NULL */
};
/* ---- encoder_graph.c: passes of training as graphs */
/* Whether options->graphs take this pass. */
bool graph_serves(const struct forward_run *run);
/* The last hidden states as a parameter of run's tape; berth_model_graphs_backward takes up its gradient. */
berth_status graph_forward(struct forward_run *run, struct berth_tensor **hidden) BERTH_CHECKED;
/* Where an array of a graph's batch lies in device memory, and dropout's key. */
const int32_t *graph_device_of(const struct berth_model_graphs *g, const int32_t *host);
/* For tests: every pass is run over the filled batch, none is kept. */
void graph_keep_none(struct berth_model_graphs *g);
const uint32_t *graph_device_key(const struct berth_model_graphs *g);
/* What layers that are computed again in backward find of their pass. */
struct layer_call {
    struct model_pass *pass;
    int layer, first; /* index of its first parameter */
};
struct model_pass {
    int64_t number; /* m->backbone_passes of it */
    struct forward_run run;
    struct berth_forward_options options;
    struct layer_call layers[]; /* [L] */
};
berth_status forward_begin(struct forward_run *run) BERTH_CHECKED;
berth_status forward_backbone(struct forward_run *run, struct berth_tensor **hidden) BERTH_CHECKED;
berth_status forward_parameter(struct forward_run *run, int parameter, struct berth_tensor **out) BERTH_CHECKED;
/* Host memory for `count` numbers, until the next call. */
berth_status forward_scratch(struct forward_run *run, int64_t count, int32_t **out) BERTH_CHECKED;
/* Whether dropout of `rate` runs in a stage of this pass. */
bool forward_drops(const struct forward_run *run, int stage, float rate);
/* Step memory with a copy of host values; unlike berth_tape_upload the host's may go at once. */
berth_status forward_put(struct forward_run *run, const int32_t **out, const int32_t *host,
                         int64_t count) BERTH_CHECKED;
/* [R, H] of sequences seqs[R] (host memory). */
berth_status pooling_forward(struct forward_run *run, enum berth_pooling pooling, struct berth_tensor *hidden,
                             const int32_t *seqs, int64_t count, struct berth_tensor **out) BERTH_CHECKED;
berth_status pooling_check(const struct berth_model *m, enum berth_pooling pooling,
                           const char *what) BERTH_CHECKED;
/* ---- param_spec.c for heads: a parameter heads.NAME.SUFFIX of the head at hand; *index is its number. columns 0: a
 * vector, which does not decay. */
struct spec_builder;
berth_status spec_head_parameter(struct spec_builder *b, const struct berth_head *head, const char *suffix,
                                 int64_t rows, int64_t columns, enum berth_init init, int *index) BERTH_CHECKED;

/* ---- a kind of head: one file each (head_*.c), one row in head.c. What depends on the kind is asked here. */
struct head_kind {
    enum berth_task_kind kind;
    bool pools;                  /* items are sequences, pooled to a vector each; else packed rows */
    enum reference_place reference; /* which classes of the reference have such a head */
    const char *problem_type;    /* what config.json calls it there; NULL: nothing */
    bool labels;                 /* its classes have names */
    unsigned losses;             /* 1 << each loss it takes */
    enum berth_loss own_loss;
    int64_t (*width)(const struct berth_model *m, const struct berth_head *head); /* columns of its outputs */
    /* Names and shapes of its parameters, in their flat order; sets weight and bias. */
    berth_status (*parameters)(struct spec_builder *b, const struct berth_model *m, struct berth_head *head);
    berth_status (*forward)(struct forward_run *run, int head, struct berth_tensor *hidden,
                            struct berth_tensor **outputs);
    /* Item losses [items] of its outputs. */
    berth_status (*loss)(struct berth_model *m, struct berth_tape *tape, int head, struct berth_tensor *outputs,
                         const struct berth_batch *batch, struct berth_tensor **item_losses);
    /* Fills label, score and scores, which have room. cu_items [groups + 1]: items decided together (the words of a
     * sentence); NULL: each alone. */
    berth_status (*answer)(const struct berth_model *m, int head, const float *outputs, int64_t count,
                           const int32_t *cu_items, int64_t groups, struct berth_answers *out);
};
const struct head_kind *head_kind_find(enum berth_task_kind kind); /* NULL: there is no head for it */
const struct head_kind *head_kind_of(const struct berth_head *head);
void head_kind_list(struct berth_str *out); /* "classification or tagging": for messages */
extern const struct head_kind head_kind_classification; /* head_class.c */
extern const struct head_kind head_kind_tagging;        /* head_token.c */

extern const struct head_kind head_kind_multilabel;     /* head_labels.c */
extern const struct head_kind head_kind_regression;     /* head_number.c */
extern const struct head_kind head_kind_similarity;     /* head_pairs.c */
extern const struct head_kind head_kind_contrastive;
extern const struct head_kind head_kind_mlm;            /* head_mlm.c */
enum berth_loss head_loss_of(const struct berth_head *head); /* the one it is trained with */

/* ---- head_body.c: what kinds share between the hidden states and their outputs */
int64_t head_features_width(const struct berth_model *m, const struct berth_head *head); /* behind the hidden layers */
/* The hidden states that the head reads; dropped by head_release. */
berth_status head_source(struct forward_run *run, int head, struct berth_tensor **hidden) BERTH_CHECKED;
void head_release(struct forward_run *run, int head, struct berth_tensor *hidden);
/* Parameters of the mix and of the hidden layers; a kind adds its own behind them. */
berth_status head_parameters_body(struct spec_builder *b, const struct berth_model *m,
                                  struct berth_head *head) BERTH_CHECKED;
/* ... and a last linear layer to `outputs` columns. */
berth_status head_parameters_linear(struct spec_builder *b, const struct berth_model *m, struct berth_head *head,
                                    int64_t outputs) BERTH_CHECKED;
/* Which rows dropout is keyed by, beside the items themselves: sequences[count] (host), or NULL: the items. */
struct head_rows {
    const int32_t *sequences;
    int64_t count;
};
/* Features [R, ...] behind the hidden layers: dropout, linear, activation, each; x may come back. */
berth_status head_features(struct forward_run *run, int head, struct berth_tensor *x, const struct head_rows *rows,
                           struct berth_tensor **out) BERTH_CHECKED;
/* ... and behind dropout and the last linear layer. */
berth_status head_output(struct forward_run *run, int head, struct berth_tensor *features,
                         struct berth_tensor **outputs) BERTH_CHECKED;
/* The pooled vectors of the items (sequences), shared with an earlier head of this pass that pools the same ones of the
 * same layer in the same way; and through head_output. */
berth_status head_forward_pooled(struct forward_run *run, int head, struct berth_tensor *hidden,
                                 struct berth_tensor **outputs) BERTH_CHECKED;
/* Rows of the items, gathered: a token-level head's features. */
berth_status head_gather_items(struct forward_run *run, int head, struct berth_tensor *hidden,
                               struct berth_tensor **out) BERTH_CHECKED;

/* ---- loss.c */
int64_t head_width_labels(const struct berth_model *m, const struct berth_head *head);
/* Step memory with a copy of host numbers, which may go at once. */
berth_status loss_put(const struct berth_model *m, struct berth_tape *tape, const int32_t *host, int64_t count,
                      const int32_t **out) BERTH_CHECKED;
/* Labels of the items in device memory, checked against `classes`. */
berth_status loss_labels(struct berth_tape *tape, const struct berth_items *items, const char *name, int64_t classes,
                         const int32_t **out) BERTH_CHECKED;
berth_status loss_weights(struct berth_tape *tape, const struct berth_head *head, const float **out) BERTH_CHECKED;
berth_status loss_classes(struct berth_model *m, struct berth_tape *tape, int head, struct berth_tensor *outputs,
                          const struct berth_batch *batch, struct berth_tensor **item_losses) BERTH_CHECKED;
berth_status loss_numbers(struct berth_model *m, struct berth_tape *tape, int head, struct berth_tensor *outputs,
                          const struct berth_batch *batch, struct berth_tensor **item_losses) BERTH_CHECKED;

/* ---- answer.c, viterbi.c */
/* Items grouped by their sequence: cu_items [groups + 1], room for a group each sequence. */
void head_item_groups(const struct berth_batch *batch, int head, int32_t *cu_items, int64_t *groups);
berth_status answer_softmax(const struct berth_model *m, int head, const float *outputs, int64_t count,
                            const int32_t *cu_items, int64_t groups, struct berth_answers *out) BERTH_CHECKED;
berth_status answer_number(const struct berth_model *m, int head, const float *outputs, int64_t count,
                           const int32_t *cu_items, int64_t groups, struct berth_answers *out) BERTH_CHECKED;
/* The best path of a sentence: emissions z [words, K], transitions [K, K], start and end [K]; -INFINITY forbids. Of
 * equal ones that of the lower tags, from the end. Where every path is forbidden the tags are decided alone. */
berth_status viterbi_decode(int32_t *path, const float *z, const double *transitions, const double *start,
                            const double *end, int64_t words, int64_t classes) BERTH_CHECKED;

/* ---- safetensors_header.c: the JSON of a safetensors file into tensors; offsets relative to the byte buffer
 */
struct header_tensor {
    char *name; /* owned */
    char dtype[12];
    int rank;
    int64_t shape[8];
    uint64_t begin, end;
};
struct header_tensors {
    struct header_tensor *list;
    size_t count, capacity;
};
void header_tensors_deinit(struct header_tensors *h);
/* `file` is the name in messages. */
berth_status safetensors_header_parse(struct header_tensors *out, const char *file, const char *text,
                                      size_t size) BERTH_CHECKED;

#endif /* MODEL_PRIV_H */
