/* model.h: one backbone, several heads: configuration, parameters, forward pass, model folders.
 *
 *     struct berth_model *m;
 *     BERTH_TRY(berth_model_load(&m, dev, "models/all-MiniLM-L6-v2"));
 *     BERTH_TRY(berth_model_add_head(m, &head));                          // before parameters are made
 *     BERTH_TRY(berth_model_allocate(m, seed));                           // values: loaded, or initialised
 *     BERTH_TRY(berth_model_forward(m, tape, batch, &options, logits));   // one pass, all heads
 *
 * Backbones are data: BERT, DistilBERT and MiniLM are the same code with another configuration (post-norm
 * encoder, Devlin et al., arXiv 1810.04805). Names of parameters are BERT's for every backbone:
 *     embeddings.word_embeddings.weight  embeddings.position_embeddings.weight
 *     embeddings.token_type_embeddings.weight  embeddings.LayerNorm.{weight,bias}
 *     encoder.layer.N.attention.self.{query,key,value}.{weight,bias}
 *     encoder.layer.N.attention.output.dense.{weight,bias}  encoder.layer.N.attention.output.LayerNorm.{weight,bias}
 *     encoder.layer.N.intermediate.dense.{weight,bias}
 *     encoder.layer.N.output.dense.{weight,bias}  encoder.layer.N.output.LayerNorm.{weight,bias}
 *     pooler.dense.{weight,bias}  heads.NAME.{weight,bias}
 *
 * All values lie in one flat buffer in device memory; the table of parameters gives each its place. Within a
 * layer query, key and value weights are neighbours, and so are their biases: one [3H, H] product.
 */
#ifndef BERTH_MODEL_H
#define BERTH_MODEL_H

#include "berth/batch.h"
#include "berth/tags.h"
#include "berth/tape.h"
#include "berth/text.h"

struct berth_model_config {
    char *model_type;    /* "bert", "distilbert": the family of the folder it came from; owned */
    int64_t layers;      /* L */
    int64_t hidden;      /* H */
    int64_t heads;       /* A */
    int64_t intermediate; /* F */
    int64_t vocab_size;  /* V */
    int64_t positions;   /* longest sequence */
    int64_t segments;    /* kinds of segment; 0: none (DistilBERT) */
    enum berth_activation activation;
    float layer_norm_eps;
    float hidden_dropout;
    float attention_dropout;
    float init_range;    /* deviation of the normal that fresh weights are drawn from */
    bool pooler;         /* pooler.dense is there */
    int32_t pad_token;
};

/* ---- parameters */
enum berth_init { BERTH_INIT_NORMAL, BERTH_INIT_ZERO, BERTH_INIT_ONE };
struct berth_parameter {
    char *name; /* owned by the model */
    int rank;
    int64_t shape[2];
    int64_t count;  /* elements */
    int64_t offset; /* elements from the start of the flat buffer; multiple of 16, but key and value begin where query
                       and key end, for weights and for biases */
    int owner;      /* 0: backbone; i+1: head i: whose absence from a step leaves it untouched */
    int stage;      /* order of the forward pass: 0 embeddings, l+1 layer l, L+1 pooler, L+2 heads */
    bool decays;    /* weight decay applies: not for biases and norms */
    bool is_bias, is_norm;
    enum berth_init init;
    bool loaded;    /* its value came from a file */
};

/* ---- heads: one kind a file (src/model/head_*.c) and one registry row (src/model/head.c) */
enum berth_pooling { BERTH_POOL_POOLER, BERTH_POOL_CLS, BERTH_POOL_MEAN };
const char *berth_pooling_name(enum berth_pooling pooling);
bool berth_pooling_parse(const char *text, enum berth_pooling *out);

/* Losses of heads; each kind takes some of them, its own where none is named. */
enum berth_loss {
    BERTH_LOSS_OWN,
    BERTH_LOSS_CROSS_ENTROPY, /* classification, tagging, mlm: their own */
    BERTH_LOSS_FOCAL,         /* classification, tagging, multilabel (arXiv 1708.02002) */
    BERTH_LOSS_BCE,           /* multilabel: its own */
    BERTH_LOSS_MSE,           /* regression, similarity: their own */
    BERTH_LOSS_L1,            /* regression, similarity */
    BERTH_LOSS_HUBER,         /* regression, similarity */
    BERTH_LOSS_COSENT,        /* similarity: the order of the pairs alone counts */
    BERTH_LOSS_RANKING        /* contrastive: its own: multiple negatives ranking (arXiv 1705.00652) */
};
const char *berth_loss_name(enum berth_loss loss); /* "cross_entropy", ... */
bool berth_loss_parse(const char *text, enum berth_loss *out);
/* Whether a head of this kind can be trained with it. */
bool berth_task_kind_takes(enum berth_task_kind kind, enum berth_loss loss);

/* Which hidden states a head reads: the last layer's, those of layer number `layer` (1: the lowest; 0: the embeddings),
 * or a learnt mix of all (softmax of a weight each, times a factor: arXiv 1802.05365). */
enum berth_head_reads { BERTH_READS_LAST, BERTH_READS_LAYER, BERTH_READS_MIX };

/* 0 and NULL are what a head is without the setting, but for dropout. */
struct berth_head {
    struct berth_task task;     /* name, kind, labels; owned. What a tagging task's scheme forbids is never answered */
    char *shares;               /* the head whose parameters it uses, of the same kind and labels; owned; NULL: own ones */
    enum berth_pooling pooling; /* sentence-level heads */
    enum berth_head_reads reads;
    int64_t layer;
    float dropout;              /* before each linear layer; negative: the backbone's hidden dropout */
    int hidden_layers;          /* linear layers with an activation before the last one; at most 3 */
    int64_t hidden_size;        /* their width; 0: the backbone's. Of similarity and contrastive heads: the vector's */
    enum berth_activation activation;
    /* loss */
    enum berth_loss loss;
    float label_smoothing;      /* cross_entropy, bce */
    float focal_gamma;          /* focal */
    float huber_delta;          /* huber */
    float scale;                /* cosent, ranking: factor of the cosines, 1 / temperature */
    bool symmetric;             /* ranking: the positives' own ranking of the anchors counts as well */
    float *class_weights;       /* [K] cross_entropy, focal: of a row's class; multilabel: of the positive side; owned */
    /* decisions */
    bool crf;                   /* tagging: a linear-chain CRF over the outputs, tags decided together (Viterbi) */
    float threshold;            /* multilabel: probability from which a label is answered; 0: one half */
    /* indices of parameters, private to the model; -1: none */
    int weight, bias, first_mix, first_hidden, first_extra;
};
/* Whether a head of this kind takes one vector a sequence: `pooling` means something. */
bool berth_task_kind_pools(enum berth_task_kind kind);
bool berth_task_kind_has_labels(enum berth_task_kind kind); /* its classes have names */

struct berth_model {
    struct berth_device *device; /* borrowed */
    struct berth_model_config config;
    struct berth_head *heads; /* [head_count] */
    int head_count;
    struct berth_parameter *parameters; /* [parameter_count] in flat order */
    int parameter_count;
    int64_t total;  /* elements of the flat buffer, padding included */
    float *values;  /* [total] device memory; NULL until allocated */
    void *half;     /* precision bf16: [total] the encoder's matrices in bf16; else NULL */
    int64_t backbone_passes; /* forward passes run so far, for tests and reports */
    void *pending;  /* private: weights of a loaded folder until berth_model_allocate */
    int32_t *scratch; /* private: [scratch_capacity] what a pass makes for its heads; kept, so that steps allocate none */
    size_t scratch_capacity;
    struct berth_tensor **pooled; /* private: [head_count] */
    struct berth_tensor **layers; /* private: [layers + 1] hidden states of the pass at hand that heads read */
    struct model_pass *pass; /* private: the pass at hand, for layers that are computed again */
    struct berth_task_gradients *split; /* private: of the pass at hand; NULL: gradients of all tasks in one */
    struct berth_tensor **tables; /* private: [3 head_count] a crf's parameters in the pass at hand */
    int32_t *pairs;               /* private: sequences of a pass that are compared */
    size_t pairs_capacity;
};

/* Reads config.json and the weights of a folder: model.safetensors (F32), tensor names with or without the prefixes
 * "bert." / "distilbert.", gamma/beta for weight/bias; DistilBERT's own names are translated. When the folder was
 * written by berth its heads come along (berth_heads.json). Checks vocab.txt (when present) against vocab_size.
 * Missing tensors (other than pooler and heads), misshapen ones, lying headers: BERTH_E_FORMAT naming folder, tensor,
 * found and expected shape; unexpected tensors are logged. Nothing is in device memory yet. */
berth_status berth_model_load(struct berth_model **out, struct berth_device *dev, const char *folder) BERTH_CHECKED;
/* A fresh backbone: all weights are drawn at allocation. Copies the configuration. */
berth_status berth_model_create(struct berth_model **out, struct berth_device *dev,
                                const struct berth_model_config *config) BERTH_CHECKED;
void berth_model_free(struct berth_model *m);
void berth_model_config_init(struct berth_model_config *c); /* BERT's defaults, bert-base sizes */
berth_status berth_model_config_copy(struct berth_model_config *to,
                                     const struct berth_model_config *from) BERTH_CHECKED;
void berth_model_config_deinit(struct berth_model_config *c);

/* Adds a head (copied) before berth_model_allocate; a head of the same name that was loaded is kept when kind and
 * labels agree (its weights stay, pooling, dropout and smoothing are the given ones), otherwise BERTH_E_USAGE names the
 * labels that differ. Heads stand in the order of these calls: a kept one moves to the end. */
berth_status berth_model_add_head(struct berth_model *m, const struct berth_head *head) BERTH_CHECKED;
/* Keeps only the named heads (drops loaded ones that a configuration does not name); before allocate. */
berth_status berth_model_keep_heads(struct berth_model *m, const char *const *names, size_t count) BERTH_CHECKED;
/* Puts the heads in this order: batches number their tasks so. A model whose heads are not exactly these:
 * BERTH_E_FORMAT. */
berth_status berth_model_order_heads(struct berth_model *m, const char *const *names, size_t count) BERTH_CHECKED;
/* A tokenizer of more tokens than the embeddings have rows does not belong to the model: BERTH_E_FORMAT naming `folder`. */
berth_status berth_model_check_tokenizer(const struct berth_model *m, const struct berth_tokenizer *tokenizer,
                                         const char *folder) BERTH_CHECKED;
/* Keeps the lower `count` layers of the backbone; before allocate. More than it has: BERTH_E_USAGE. */
berth_status berth_model_keep_layers(struct berth_model *m, int64_t count) BERTH_CHECKED;
/* Gives the backbone a pooler of fresh weights, instead of the folder's or of none (DistilBERT); before allocate. */
berth_status berth_model_new_pooler(struct berth_model *m) BERTH_CHECKED;
/* Lays out the parameters, allocates them, fills in loaded values and draws the rest: normal(0, init_range) for weights
 * of matrices and embeddings (0 for the padding token's row), 0 for biases, 1 for norm gains; keyed by (seed, name). */
berth_status berth_model_allocate(struct berth_model *m, uint64_t seed) BERTH_CHECKED;

/* What the encoder computes in, after allocate: BERTH_F32 (as it begins), or BERTH_BF16: activations, products and
 * their weights in bf16 with sums, norms, softmax and all gradients of parameters in float; values stay float and are
 * what is trained. Embeddings, pooler, heads and losses stay float. A device without units for it:
 * BERTH_E_UNSUPPORTED. */
berth_status berth_model_set_precision(struct berth_model *m, enum berth_dtype precision) BERTH_CHECKED;
int berth_model_find(const struct berth_model *m, const char *name); /* index of a parameter, -1: none */
int berth_model_find_head(const struct berth_model *m, const char *name);
int64_t berth_head_width(const struct berth_model *m, int head); /* columns of its outputs */
float berth_head_threshold(const struct berth_head *head); /* multilabel: its own, or one half */
int berth_head_owner(const struct berth_model *m, int head); /* the head whose parameters it uses: itself, or shared */
/* Copies one parameter's values from or to host memory [count]. */
berth_status berth_model_get(const struct berth_model *m, int parameter, float *to) BERTH_CHECKED;
berth_status berth_model_set(struct berth_model *m, int parameter, const float *from) BERTH_CHECKED;

/* ---- selectors: backbone | embeddings | layers.A-B | layers.N | pooler | heads.NAME | norms | biases | a glob
 * over names. Sets selected[i] = true for what matches; *count: how many did. An unknown form, a layer or a head
 * that is not there: BERTH_E_USAGE. backbone = embeddings + layers + pooler. */
berth_status berth_model_select(const struct berth_model *m, const char *selector, bool *selected,
                                int *count) BERTH_CHECKED;

/* ---- forward */
struct berth_task_gradients;
struct berth_forward_options {
    bool training;        /* dropout on (not below the first trainable stage unless frozen_dropout) */
    bool frozen_dropout;
    uint64_t seed;        /* dropout's key */
    uint32_t step;
    float **gradients;    /* [parameter_count] each parameter's gradient in device memory, NULL: frozen;
                             NULL altogether: inference. Neighbours (query, key, value) must be neighbours here too
                             whenever one of them has a gradient. */
    const bool *wanted;   /* [head_count] NULL: all heads that have items */
    struct berth_task_gradients *task_gradients; /* NULL: gradients of all tasks in one; else the batch is its arranged
                                                    one (task_gradients.h) */
    bool recompute;       /* of the layers that are trained, all but the highest keep their input alone and are computed
                             again in backward, to the same bits: options' arrays and the batch live until then */
    struct berth_model_graphs *graphs; /* NULL: the encoder's operations are launched one by one */
    bool same_values;     /* the model's values have not changed since its last pass (bf16: nothing is converted) */
};
/* Runs the backbone once over the batch and every wanted head that has items; batch->items[i] belongs to head i.
 * logits[i]: [items, K] or NULL; of a contrastive head [2 items + negatives, D]: vectors
 * of length one, of all anchors, then all positives, then the hard negatives of the items that have one. Sites of dropout: 0 embeddings, 1+3l attention probabilities of layer l, 2+3l its
 * output, 3+3l the feed-forward output, 0x800 + i head i. */
berth_status berth_model_forward(struct berth_model *m, struct berth_tape *tape, const struct berth_batch *batch,
                                 const struct berth_forward_options *options,
                                 struct berth_tensor **logits) BERTH_CHECKED;
/* ---- graphs: the encoder's passes of training kept as two graphs a key (bucket of the token count, of the sequence count)
 * and launched from then on; docs/gpu.md. Batches are filled up to their bucket, so bits differ by rounding from those
 * without, and are the same whether a pass was run, kept or launched. Passes that they do not take (inference, layers
 * computed again, gradients of each task, heads that read lower layers, batches beyond the limits) go one by one. */
struct berth_model_graphs;
struct berth_graph_limits {
    int64_t max_tokens, max_sequences, max_length; /* of a batch; the longest of a sequence */
    size_t bytes;                                  /* of step memory to ask for now */
};
/* From the largest batch to the largest one that is filled up. */
void berth_graph_filled(int64_t *tokens, int64_t *sequences);
/* Borrows m. BERTH_E_UNSUPPORTED on a device that has no graphs. */
berth_status berth_model_graphs_create(struct berth_model_graphs **out, struct berth_model *m,
                                       const struct berth_graph_limits *limits) BERTH_CHECKED;
void berth_model_graphs_free(struct berth_model_graphs *g); /* before the model; NULL is allowed */
/* After the backward pass of a berth_model_forward with options.graphs: the encoder's. NULL, or a pass that was not the
 * graphs': nothing. */
berth_status berth_model_graphs_backward(struct berth_model_graphs *g) BERTH_CHECKED;
/* Graphs kept and launches of them so far. */
void berth_model_graphs_count(const struct berth_model_graphs *g, int64_t *kept, int64_t *launches);

/* The last hidden states alone [T, H]. */
berth_status berth_model_hidden(struct berth_model *m, struct berth_tape *tape, const struct berth_batch *batch,
                                const struct berth_forward_options *options,
                                struct berth_tensor **hidden) BERTH_CHECKED;
/* One fixed-size embedding a sequence, [B, H]. pooler on a backbone without one is BERTH_E_USAGE naming mean and cls. */
berth_status berth_model_embed(struct berth_model *m, struct berth_tape *tape, const struct berth_batch *batch,
                               enum berth_pooling pooling, struct berth_tensor **out) BERTH_CHECKED;
/* The loss of a head over its items, unweighted by its task: item losses [items] (label -1 and -2 masked), whose sum over
 * the labelled items, divided by their number, is the task's mean. Losses of several items together (a CRF's sentence,
 * CoSENT) stand at some of them so that this holds; in-batch negatives and CoSENT's pairs are those of this batch: where
 * a step is split in several batches, those of each part. */
berth_status berth_model_head_loss(struct berth_model *m, struct berth_tape *tape, int head,
                                   struct berth_tensor *logits, const struct berth_batch *batch,
                                   struct berth_tensor **item_losses) BERTH_CHECKED;

/* ---- answers: what a head's outputs say, on the host. Arrays are kept and grow from call to call. */
struct berth_answers {
    int64_t count;     /* items */
    int64_t width;     /* columns of scores */
    int32_t *label;    /* [count] the class, tag or token; -1: the kind has none */
    float *score;      /* [count] the probability of that class or tag; the number of a regression; the cosine */
    float *scores;     /* [count, width] probabilities of all classes or labels */
    size_t label_capacity, score_capacity, scores_capacity;
};
void berth_answers_init(struct berth_answers *a);
void berth_answers_deinit(struct berth_answers *a);
/* Of outputs [count, width] in host memory: a sentence-level head's rows in any order and number; a token-level head's
 * items of the batch, a sentence's tags decided together (batch may be NULL for sentence-level heads). */
berth_status berth_model_answer(const struct berth_model *m, int head, const float *outputs, int64_t count,
                                const struct berth_batch *batch, struct berth_answers *out) BERTH_CHECKED;
/* The class of a row of logits (of equal ones the first) and its probability; probability may be NULL. */
void berth_argmax_softmax(const float *logits, int64_t classes, int32_t *best, float *probability);

/* ---- model folders out: config.json, model.safetensors (F32), berth_heads.json, the tokenizer's files; written to a
 * new folder beside and renamed: never half a folder. Loads in the reference libraries (backbone names as theirs). */
berth_status berth_model_save(const struct berth_model *m, const struct berth_tokenizer *tokenizer,
                              const char *folder) BERTH_CHECKED;
enum berth_weight_type { BERTH_WEIGHTS_F32, BERTH_WEIGHTS_F16, BERTH_WEIGHTS_BF16 };
struct berth_save_options {
    enum berth_weight_type dtype; /* of the file's tensors; rounded to nearest, ties to even */
    bool sentences;               /* also what sentence-transformers needs to embed with the folder: */
    enum berth_pooling pooling;
    bool normalize;               /* embeddings of length 1 */
    int64_t max_length;           /* tokens; 0: the backbone's positions */
};
/* The same in another form. A value that F16 cannot hold is BERTH_E_NUMERIC, naming the tensor. */
berth_status berth_model_save_as(const struct berth_model *m, const struct berth_tokenizer *tokenizer,
                                 const struct berth_save_options *options, const char *folder) BERTH_CHECKED;

/* How a folder that sentence-transformers can load wants its embeddings made (modules.json and what it names). */
struct berth_sentence_settings {
    bool found;                 /* there is a modules.json; else the rest is mean, as it comes, no bound */
    enum berth_pooling pooling; /* a Dense module that is the backbone's pooler: pooler */
    bool normalize;             /* to length 1 */
    int64_t max_length;         /* tokens; 0: not said */
};
/* Modules and poolings that berth does not have are BERTH_E_UNSUPPORTED, naming file and module. */
berth_status berth_model_sentence_settings(struct berth_sentence_settings *out, const char *folder) BERTH_CHECKED;

/* ---- safetensors, checked: header length, JSON, types, shapes against byte ranges, overlaps, holes, bounds */
struct berth_safetensor {
    const char *name;  /* borrowed from the file */
    const char *dtype; /* "F32", ... */
    int rank;
    int64_t shape[8];
    int64_t count;
    const void *data;  /* borrowed: the map */
    size_t bytes;
};
struct berth_safetensors;
berth_status berth_safetensors_open(struct berth_safetensors **out, const char *path) BERTH_CHECKED;
void berth_safetensors_close(struct berth_safetensors *f);
size_t berth_safetensors_count(const struct berth_safetensors *f);
const struct berth_safetensor *berth_safetensors_at(const struct berth_safetensors *f, size_t index);
const struct berth_safetensor *berth_safetensors_find(const struct berth_safetensors *f, const char *name);
struct berth_safetensor_out {
    const char *name;
    int rank;
    const int64_t *shape;
    const float *data; /* host memory */
    enum berth_weight_type dtype; /* written as; 0: F32 */
};
/* pytorch_model.bin (a zip archive with a pickle): its tensors as views of the map; nothing of it is executed. */
struct berth_torch;
berth_status berth_torch_open(struct berth_torch **out, const char *path) BERTH_CHECKED;
void berth_torch_close(struct berth_torch *f); /* NULL is allowed */
size_t berth_torch_count(const struct berth_torch *f);
const struct berth_safetensor *berth_torch_at(const struct berth_torch *f, size_t index);

berth_status berth_safetensors_write(const char *path, const struct berth_safetensor_out *tensors,
                                     size_t count) BERTH_CHECKED;

#endif /* BERTH_MODEL_H */
