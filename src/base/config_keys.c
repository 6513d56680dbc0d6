/* config_keys.c: THE table of configuration keys. A key exists when it has a row here, and only then; its
 * default is written here and nowhere else. The order is that of the reference page and of printed
 * configurations.
 *
 * To add a key: one row, under its section's row; then read it with a getter of config.h where it is used;
 * then write docs/configuration.md anew (scripts say how; a test compares). */
#include "berth/config.h"

#define ANY .min = 1, .max = 0
/* clang-format off */
#define SECTION(key, text) {.path = key, .type = BERTH_KEY_SECTION, ANY, .unit = "", .help = text}

const struct berth_key berth_config_keys[] = {
    {.path = "seed", .type = BERTH_KEY_INT, .min = 0, .max = 0x1p53, .default_value = "17", .unit = "",
     .help = "Key of every random choice: order of rows, initial values, dropout. The same seed gives "
             "the same bits."},
    {.path = "device", .type = BERTH_KEY_STRING, ANY, .default_value = "auto", .unit = "",
     .help = "What computes: auto takes the best that is there, cpu the processor."},
    {.path = "precision", .type = BERTH_KEY_CHOICE, ANY, .choices = "fp32|tf32|bf16", .default_value = "fp32",
     .unit = "",
     .help = "Number format of the encoder's activations and products. bf16 keeps weights, their gradients, norms, "
             "softmax, heads and losses in fp32, and needs an NVIDIA GPU or a processor with AVX512_BF16 or AMX. tf32 "
             "(NVIDIA GPUs) is fp32 but for the factors of products, which are rounded to 10 bits of fraction."},
    {.path = "precision_fallback", .type = BERTH_KEY_CHOICE, ANY, .choices = "none|fp32", .default_value = "none",
     .unit = "",
     .help = "What takes the place of tf32 or bf16 on a device without units for it. none: such a run does not start."},
    {.path = "attention", .type = BERTH_KEY_CHOICE, ANY, .choices = "own|cudnn|auto", .default_value = "own", .unit = "",
     .help = "Which implementation of attention serves. own: berth's kernels, on every device. cudnn: cuDNN's, on NVIDIA GPUs "
             "of compute capability 9 in bf16; its dropout masks are its own. auto: cuDNN where it can serve, sequences are "
             "long (256 tokens) and attention has no dropout, else own."},
    {.path = "graphs", .type = BERTH_KEY_BOOL, ANY, .default_value = "off", .unit = "",
     .help = "Whether the encoder's passes of training are kept as CUDA graphs, one a bucket of the token count, and launched "
             "as a whole. Batches are filled up to their bucket with dead rows, so numbers differ by rounding from those "
             "without. For GPUs; passes with train.recompute, or with gradients of each task, go one by one."},
    {.path = "output", .type = BERTH_KEY_STRING, ANY, .unit = "folder",
     .help = "The run folder: configuration, log, metrics, checkpoints, best model. `berth train` "
             "refuses one that exists, unless it resumes."},
    {.path = "cache", .type = BERTH_KEY_STRING, ANY, .default_value = ".berth-cache", .unit = "folder",
     .help = "Where tokenized and packed data is kept between runs. It may be deleted at any time."},
    {.path = "data_folder", .type = BERTH_KEY_STRING, ANY, .default_value = ".", .unit = "folder",
     .help = "Relative paths of data files start here."},
    {.path = "threads", .type = BERTH_KEY_INT, .min = 0, .max = 1024, .default_value = "0", .unit = "threads",
     .help = "Threads of the processor to use; 0 takes all that the process may use. Results do not "
             "depend on it."},
    {.path = "deterministic", .type = BERTH_KEY_CHOICE, ANY, .choices = "on|strict", .default_value = "on",
     .unit = "",
     .help = "on: the same bits for the same program, libraries and processor model, at any number of threads; a run "
             "resumed elsewhere says that bits may differ. strict: such a resume is refused; and a step is summed part by "
             "part, so that any number of ranks that is a power of two and divides train.accumulate gives the same bits "
             "(others are refused)."},
    {.path = "frozen_dropout", .type = BERTH_KEY_BOOL, ANY, .default_value = "off", .unit = "",
     .help = "Whether frozen layers below the first trainable one keep their dropout. Off: they run as "
             "in evaluation."},

    SECTION("model", "The shared backbone: weights from a folder, or a new one from its sizes."),
    {.path = "model.backbone", .type = BERTH_KEY_STRING, ANY, .unit = "folder", .unless = "model.new",
     .help = "Folder with config.json, weights (safetensors or pytorch_model.bin, in one file or several) and "
             "vocab.txt, as the hub keeps them, or a run's best/."},
    SECTION("model.new", "Sizes of a backbone that starts from random weights; it needs model.vocab."),
    {.path = "model.new.layers", .type = BERTH_KEY_INT, .min = 1, .max = 96, .unit = "layers",
     .required = true,
     .help = "Encoder layers."},
    {.path = "model.new.hidden", .type = BERTH_KEY_INT, .min = 8, .max = 8192, .unit = "columns",
     .required = true,
     .help = "Width of a token's vector. A multiple of model.new.heads."},
    {.path = "model.new.heads", .type = BERTH_KEY_INT, .min = 1, .max = 128, .unit = "heads",
     .required = true,
     .help = "Attention heads of a layer."},
    {.path = "model.new.intermediate", .type = BERTH_KEY_INT, .min = 8, .max = 65536, .unit = "columns",
     .required = true,
     .help = "Width between the two products of a layer's feed-forward part."},
    {.path = "model.new.positions", .type = BERTH_KEY_INT, .min = 8, .max = 32768, .default_value = "512",
     .unit = "tokens",
     .help = "Positions that have an embedding: the longest sequence the model can ever take."},
    {.path = "model.layers", .type = BERTH_KEY_STRING, ANY, .unit = "layers",
     .help = "0-5 keeps the lower six layers of the backbone; without it all are kept."},
    {.path = "model.pooler", .type = BERTH_KEY_CHOICE, ANY, .choices = "own|new", .default_value = "own", .unit = "",
     .help = "own: the pooler that the folder has, if any. new: one of fresh weights, also where the backbone "
             "has none (DistilBERT)."},
    {.path = "model.vocab", .type = BERTH_KEY_STRING, ANY, .unit = "file or folder",
     .help = "vocab.txt, or a folder that holds one, for model.new. `berth vocab` makes one from text."},
    {.path = "model.lowercase", .type = BERTH_KEY_BOOL, ANY, .default_value = "true", .unit = "",
     .help = "Whether the tokenizer of model.vocab lowers letters and strips accents. A backbone's "
             "folder says it itself."},
    {.path = "model.max_length", .type = BERTH_KEY_INT, .min = 4, .max = 32768, .default_value = "128",
     .unit = "tokens",
     .help = "Longer sequences are cut to this many tokens, [CLS] and [SEP] counted. At most the "
             "backbone's positions."},
    {.path = "model.dropout", .type = BERTH_KEY_NUMBER, .min = 0, .max = 0.9, .unit = "share",
     .help = "Dropout of hidden activations. Without it config.json's hidden_dropout_prob holds."},
    {.path = "model.attention_dropout", .type = BERTH_KEY_NUMBER, .min = 0, .max = 0.9, .unit = "share",
     .help = "Dropout of attention probabilities. Without it config.json's attention_probs_dropout_prob "
             "holds."},

    {.path = "data", .type = BERTH_KEY_NAMED, ANY, .unit = "", .required = true,
     .help = "Sources, by names of your choice: where rows come from. One source may carry labels of "
             "several tasks."},
    {.path = "data.*.format", .type = BERTH_KEY_CHOICE, ANY, .choices = "tsv|csv|jsonl|conll|seqfiles|lines|text",
     .unit = "",
     .required = true,
     .help = "tsv: columns separated by tabs, without quotes. csv: RFC 4180, fields may be quoted. jsonl: an object a "
             "line. conll: a word a line, tags in columns, an empty line behind each sentence. seqfiles: a folder with "
             "seq.in, seq.out and label, one row a line. lines: `LABEL text`. text: a text a line, without labels. "
             "Each may be compressed by gzip or zstd."},
    {.path = "data.*.text", .type = BERTH_KEY_COLUMN, ANY, .default_value = "0", .unit = "column",
     .help = "The column of the text: a name (in jsonl a member; a.b is member b of the object a), or a number from "
             "0."},
    {.path = "data.*.text_pair", .type = BERTH_KEY_COLUMN, ANY, .unit = "column",
     .help = "The column of a second text, for pairs of sentences."},
    {.path = "data.*.negative", .type = BERTH_KEY_COLUMN, ANY, .unit = "column",
     .help = "The column of a text that is unlike the first, for contrastive tasks; it may be empty in some rows."},
    {.path = "data.*.separator", .type = BERTH_KEY_STRING, ANY, .default_value = "comma", .unit = "",
     .help = "What stands between the labels of one cell, for multilabel tasks: comma, semicolon, pipe, space, tab, "
             "or the text itself. A cell of separators alone is a row "
             "with no label at all; an empty cell is a row that is not labelled."},
    {.path = "data.*.header", .type = BERTH_KEY_BOOL, ANY, .default_value = "true", .unit = "",
     .help = "Whether the first line of a tsv or csv file names the columns. Without it columns go by number."},
    {.path = "data.*.delimiter", .type = BERTH_KEY_STRING, ANY, .unit = "",
     .help = "What stands between columns: tab, comma, semicolon, pipe, space, or one ASCII sign. Without it a comma "
             "in csv, runs of spaces and tabs in conll."},
    {.path = "data.*.encoding", .type = BERTH_KEY_CHOICE, ANY, .choices = "strict|replace|windows-1252",
     .default_value = "strict", .unit = "",
     .help = "strict: files are UTF-8, and a bad byte is an error. replace: bad bytes become U+FFFD, and are counted. "
             "windows-1252: the old Western encoding."},
    {.path = "data.*.train", .type = BERTH_KEY_STRINGS, ANY, .unit = "file or folder",
     .help = "Training rows; several paths are read one after the other."},
    {.path = "data.*.dev", .type = BERTH_KEY_STRINGS, ANY, .unit = "file or folder",
     .help = "Rows that choose the best checkpoint and stop training early."},
    {.path = "data.*.test", .type = BERTH_KEY_STRINGS, ANY, .unit = "file or folder",
     .help = "Rows that are read once, after training."},
    SECTION("data.*.split", "Parts of the train rows that become dev and test rows. A row's side follows from its text and "
            "the seed alone, so it stays when rows are added, and duplicates lie on one side."),
    {.path = "data.*.split.dev", .type = BERTH_KEY_NUMBER, .min = 0, .max = 0.9, .default_value = "0", .unit = "share",
     .help = "Share of the train rows for dev."},
    {.path = "data.*.split.test", .type = BERTH_KEY_NUMBER, .min = 0, .max = 0.9, .default_value = "0", .unit = "share",
     .help = "Share of the train rows for test."},
    {.path = "data.*.limit", .type = BERTH_KEY_INT, .min = 1, .max = 1e12, .unit = "rows",
     .help = "Training rows kept: drawn by the seed, every label with its share."},
    {.path = "data.*.limit_eval", .type = BERTH_KEY_INT, .min = 1, .max = 1e12, .unit = "rows",
     .help = "The same for dev and for test rows."},
    {.path = "data.*.overflow", .type = BERTH_KEY_CHOICE, ANY, .choices = "cut|error|windows", .default_value = "cut",
     .unit = "",
     .help = "What becomes of a row that is longer than model.max_length. cut: its end is left out. error: packing stops "
             "and names the row. windows: several sequences that overlap; a word counts once, where its context is longer."},
    {.path = "data.*.stride", .type = BERTH_KEY_INT, .min = 0, .max = 32766, .default_value = "16", .unit = "tokens",
     .help = "How many tokens a window shares with the one before it."},
    SECTION("data.*.augment", "Training rows altered anew whenever they are drawn, tags with them, by one or more of the "
            "operations below: entity, replace, delete, swap, mask, in this order. Never dev and test rows."),
    {.path = "data.*.augment.share", .type = BERTH_KEY_NUMBER, .min = 0, .max = 1, .unit = "share",
     .help = "Of the draws of its training rows those that are altered. Without it all are; with "
             "sampling.units.*.more: augmentation only a row's second and later draws of an epoch, which always are."},
    {.path = "data.*.augment.entity", .type = BERTH_KEY_NUMBER, .min = 0, .max = 1, .default_value = "0",
     .unit = "probability",
     .help = "An entity is replaced by another of its type from the training rows, with its tags."},
    {.path = "data.*.augment.replace", .type = BERTH_KEY_NUMBER, .min = 0, .max = 1, .default_value = "0",
     .unit = "probability",
     .help = "A word is replaced by another one of the training rows that has the same tag."},
    {.path = "data.*.augment.delete", .type = BERTH_KEY_NUMBER, .min = 0, .max = 1, .default_value = "0",
     .unit = "probability",
     .help = "A word is left out. One word of a text always stays; what is left of an entity is tagged as one."},
    {.path = "data.*.augment.swap", .type = BERTH_KEY_NUMBER, .min = 0, .max = 1, .default_value = "0",
     .unit = "probability",
     .help = "A word changes places with another of its text; an entity moves as a whole."},
    {.path = "data.*.augment.mask", .type = BERTH_KEY_NUMBER, .min = 0, .max = 1, .default_value = "0",
     .unit = "probability",
     .help = "Every piece of a word becomes [MASK]; its tag stays."},

    {.path = "tasks", .type = BERTH_KEY_NAMED, ANY, .unit = "", .required = true,
     .help = "Tasks, by names of your choice: one head each on the shared backbone."},
    {.path = "tasks.*.type", .type = BERTH_KEY_CHOICE, ANY, 
     .choices = "classification|tagging|multilabel|regression|similarity|contrastive|mlm", .unit = "",
     .required = true,
     .help = "classification: one label a sentence. tagging: one label a word. multilabel: a set of labels a "
             "sentence. regression: a number. similarity: a number that says how near text and text_pair are. "
             "contrastive: text_pair is nearer than other rows' (and than `negative`). mlm: tokens are hidden and told; "
             "it needs no label."},
    {.path = "tasks.*.source", .type = BERTH_KEY_STRINGS, ANY, .unit = "name", .required = true,
     .help = "The source of `data` that carries this task's labels, or a list of them."},
    {.path = "tasks.*.label", .type = BERTH_KEY_COLUMNS, ANY, .unit = "column",
     .help = "The column of the label: a name or a number; for seqfiles the file's name (label, "
             "seq.out), for lines `label`. A list gives each source its own. contrastive and mlm tasks have none."},
    {.path = "tasks.*.comment", .type = BERTH_KEY_STRING, ANY, .unit = "key",
     .help = "In conll files, the key of the comment line that carries a sentence's label: intent for '# intent: x'."},
    {.path = "tasks.*.scheme", .type = BERTH_KEY_CHOICE, ANY, .choices = "auto|plain|io|bio|iob1|bioes|bilou",
     .default_value = "auto", .unit = "",
     .help = "How the tags of a tagging task mark entities; plain: they mark none. auto tells it from the tags of "
             "the training rows."},
    {.path = "tasks.*.convert_to", .type = BERTH_KEY_CHOICE, ANY, .choices = "none|io|bio|iob1|bioes|bilou",
     .default_value = "none", .unit = "",
     .help = "Rewrites the tags in another scheme while they are read; it needs tasks.NAME.scheme."},
    {.path = "tasks.*.mask", .type = BERTH_KEY_NUMBER, .min = 0.01, .max = 0.9, .default_value = "0.15", .unit = "share",
     .help = "mlm: share of the tokens to be told; of these 8 in 10 become [MASK], 1 in 10 another token, 1 in 10 stay."},
    {.path = "tasks.*.head", .type = BERTH_KEY_STRING, ANY, .unit = "task",
     .help = "Another task of the same type, whose head this one uses as well; their labels become one list."},
    {.path = "tasks.*.pooling", .type = BERTH_KEY_CHOICE, ANY, .choices = "pooler|cls|mean", .unit = "",
     .help = "The vector of a sentence: the pooler's output, the vector of [CLS], or the mean over tokens. Without it "
             "mean for similarity and contrastive, else pooler."},
    {.path = "tasks.*.layer", .type = BERTH_KEY_STRING, ANY, .default_value = "last", .unit = "layer",
     .help = "The hidden states that the head reads: last, a layer's number (1 is the lowest, 0 the embeddings), or mix: "
             "a learnt mean of all."},
    {.path = "tasks.*.hidden_layers", .type = BERTH_KEY_INT, .min = 0, .max = 3, .default_value = "0", .unit = "layers",
     .help = "Linear layers with an activation before the head's last one; for similarity and contrastive tasks a "
             "projection of the sentence's vector."},
    {.path = "tasks.*.hidden_size", .type = BERTH_KEY_INT, .min = 1, .max = 65536, .unit = "columns",
     .help = "Their width. Without it the backbone's."},
    {.path = "tasks.*.activation", .type = BERTH_KEY_CHOICE, ANY, .choices = "none|gelu|gelu_new|relu|silu|tanh",
     .default_value = "tanh", .unit = "",
     .help = "Behind each of them."},
    {.path = "tasks.*.dropout", .type = BERTH_KEY_NUMBER, .min = 0, .max = 0.9, .unit = "share",
     .help = "Dropout in front of the head's linear layers. Without it the model's own holds."},
    {.path = "tasks.*.crf", .type = BERTH_KEY_BOOL, ANY, .default_value = "false", .unit = "",
     .help = "tagging: a linear-chain conditional random field over the words of a sentence."},
    {.path = "tasks.*.constrained", .type = BERTH_KEY_BOOL, ANY, .default_value = "true", .unit = "",
     .help = "tagging: whether answers keep to the scheme of the tags, so that no I follows an O. It is known where "
             "every training row keeps to it."},
    {.path = "tasks.*.loss", .type = BERTH_KEY_CHOICE, ANY,
     .choices = "cross_entropy|focal|bce|mse|l1|huber|cosent|ranking", .unit = "",
     .help = "classification and tagging: cross_entropy (without this key) or focal. multilabel: bce or focal. "
             "regression: mse, l1 or huber. similarity: mse, l1 or huber of the cosine, or cosent (their order). "
             "contrastive: ranking among the batch's rows. mlm: cross_entropy."},
    {.path = "tasks.*.focal_gamma", .type = BERTH_KEY_NUMBER, .min = 0, .max = 20, .default_value = "2", .unit = "",
     .help = "focal: how much rows that are right already count less."},
    {.path = "tasks.*.huber_delta", .type = BERTH_KEY_NUMBER, .min = 1e-6, .max = 1e6, .default_value = "1", .unit = "",
     .help = "huber: errors up to this are squared, larger ones count linearly."},
    {.path = "tasks.*.scale", .type = BERTH_KEY_NUMBER, .min = 1e-3, .max = 1e4, .default_value = "20", .unit = "",
     .help = "cosent, ranking: factor of the cosines, one over the temperature."},
    {.path = "tasks.*.symmetric", .type = BERTH_KEY_BOOL, ANY, .default_value = "false", .unit = "",
     .help = "contrastive: whether each positive must find its anchor as well."},
    {.path = "tasks.*.class_weights", .type = BERTH_KEY_STRINGS, ANY, .default_value = "none", .unit = "",
     .help = "Weights of the classes in the loss: none, balanced (rows / (classes * rows of the class)), effective (by "
             "the effective number of rows), or a list of LABEL=NUMBER. multilabel: of a label's presence; balanced is "
             "rows without it / rows with it."},
    {.path = "tasks.*.effective_beta", .type = BERTH_KEY_NUMBER, .min = 0, .max = 1, .default_value = "0.999", .unit = "",
     .help = "class_weights effective: (1 - beta) / (1 - beta^rows)."},
    {.path = "tasks.*.weight", .type = BERTH_KEY_NUMBER, .min = 0, .max = 1e6, .default_value = "1",
     .unit = "",
     .help = "Factor of this task's loss, with weighting.method fixed."},
    {.path = "tasks.*.label_smoothing", .type = BERTH_KEY_NUMBER, .min = 0, .max = 0.9, .default_value = "0",
     .unit = "share",
     .help = "Share of the target that is spread evenly over all labels (multilabel: over yes and no)."},
    {.path = "tasks.*.metric", .type = BERTH_KEY_CHOICE, ANY, 
     .choices = "accuracy|macro_f1|micro_f1|weighted_f1|precision|recall|matthews|auc|span_f1|span_precision|"
                "span_recall|strict_span_f1|token_f1|word_accuracy|pearson|spearman|mse|mae|mrr|perplexity",
     .unit = "",
     .help = "The task's own metric; the first is taken without this key. classification: accuracy, macro_f1, micro_f1, "
             "weighted_f1, precision and recall (means over classes), matthews, auc. tagging: span_f1 (entities as "
             "conlleval counts them), span_precision, span_recall, strict_span_f1 (by the labels' scheme), token_f1 "
             "(tags of words), accuracy. multilabel: micro_f1, macro_f1, weighted_f1, precision, recall, accuracy (all "
             "labels of a row), auc. regression: pearson, spearman, mse, mae. similarity: spearman, pearson, mse, mae. "
             "contrastive: accuracy, mrr. mlm: perplexity, accuracy."},

    SECTION("sampling", "How training rows are drawn from the sources and put into batches."),
    {.path = "sampling.scheme", .type = BERTH_KEY_CHOICE, ANY, .choices = "proportional|uniform|temperature|shares",
     .default_value = "proportional", .unit = "",
     .help = "How draws are shared between sources (with mix: step between tasks). proportional: by their rows. uniform: "
             "equally. temperature: by min(rows, cap)^(1/temperature). shares: as sampling.units gives them."},
    {.path = "sampling.temperature", .type = BERTH_KEY_NUMBER, .min = 0.01, .max = 1000, .default_value = "1", .unit = "",
     .help = "scheme: temperature. 1 is proportional; the higher, the more alike the shares are."},
    {.path = "sampling.cap", .type = BERTH_KEY_INT, .min = 1, .max = 1e12, .unit = "rows",
     .help = "scheme: temperature. Rows above this number do not raise a share."},
    {.path = "sampling.mix", .type = BERTH_KEY_CHOICE, ANY, .choices = "batch|step|all",
     .default_value = "batch", .unit = "",
     .help = "batch: rows of several sources in one batch; a row with labels of two tasks is drawn once "
             "and feeds both. step: one task a step, and that head alone learns; such a row is drawn once "
             "for each of its tasks. all: as batch, but every step holds rows of every source, and each task's loss counts "
             "whole."},
    {.path = "sampling.epoch", .type = BERTH_KEY_CHOICE, ANY, .choices = "all|smallest|largest|steps",
     .default_value = "all", .unit = "",
     .help = "How long an epoch is. all: as many rows as all training files have. smallest: until the first source is "
             "through. largest: until the last one is; others repeat. steps: sampling.epoch_steps."},
    {.path = "sampling.epoch_steps", .type = BERTH_KEY_INT, .min = 1, .max = 1e9, .unit = "optimizer steps",
     .help = "epoch: steps. Steps of an epoch."},
    {.path = "sampling.units", .type = BERTH_KEY_NAMED, ANY, .unit = "",
     .help = "Sources by their names, with mix: step tasks: how often one of them is drawn."},
    {.path = "sampling.units.*.share", .type = BERTH_KEY_NUMBER, .min = 0, .max = 1e6, .unit = "share",
     .help = "scheme: shares. Its part of the draws; shares are scaled to add up to 1."},
    {.path = "sampling.units.*.rows", .type = BERTH_KEY_INT, .min = 1, .max = 1e12, .unit = "rows",
     .unless = "sampling.units.*.ratio",
     .help = "It counts as this many rows: more than it has repeats rows, fewer leaves rows out."},
    {.path = "sampling.units.*.ratio", .type = BERTH_KEY_NUMBER, .min = 1e-6, .max = 1e6, .unit = "",
     .help = "It counts as this many times the rows of ratio_of."},
    {.path = "sampling.units.*.ratio_of", .type = BERTH_KEY_CHOICE, ANY, .choices = "own|smallest|largest",
     .default_value = "own", .unit = "",
     .help = "What ratio is of: its own rows, or those of the smallest or largest source (task)."},
    {.path = "sampling.units.*.fewer", .type = BERTH_KEY_CHOICE, ANY, .choices = "fresh|fixed", .default_value = "fresh",
     .unit = "",
     .help = "Which rows stay where it counts as fewer than it has. fresh: others every epoch, until all came. fixed: the "
             "same ones, drawn by the seed."},
    {.path = "sampling.units.*.more", .type = BERTH_KEY_CHOICE, ANY, .choices = "repetition|augmentation",
     .default_value = "repetition", .unit = "",
     .help = "What fills up where it counts as more rows than it has. repetition: the rows again. augmentation: the rows "
             "again, altered as data.*.augment says."},
    {.path = "sampling.units.*.balance", .type = BERTH_KEY_STRING, ANY, .unit = "task",
     .help = "A classification task whose classes are drawn equally often."},

    SECTION("weighting", "How the losses of the tasks are added up."),
    {.path = "weighting.method", .type = BERTH_KEY_CHOICE, ANY, .choices = "fixed|equal|uncertainty|dwa|gradnorm|pcgrad",
     .default_value = "fixed", .unit = "",
     .help = "fixed: each loss times its tasks.NAME.weight. equal: all 1. uncertainty (Kendall et al., arXiv "
             "1705.07115): loss / (2 exp(s)) + s / 2 with an s a task that is learnt, from -0.5. dwa (Liu et al., arXiv "
             "1803.10704): by how fast each task's loss fell over the last two windows. gradnorm (Chen et al., arXiv "
             "1711.02257): weights that are learnt so that slow tasks have the longer gradients. pcgrad (Yu et al., "
             "arXiv 2001.06782): gradients of the shared parameters that conflict are projected."},
    {.path = "weighting.rate", .type = BERTH_KEY_NUMBER, .min = 0, .max = 10, .default_value = "1e-3", .unit = "",
     .help = "Peak rate of what a method learns (uncertainty's s, gradnorm's weights), with the run's optimizer and "
             "schedule, without decay and clipping."},
    {.path = "weighting.gradients", .type = BERTH_KEY_CHOICE, ANY, .choices = "parameters|representation",
     .default_value = "parameters", .unit = "",
     .help = "Which gradients of a task gradnorm compares. parameters: by the shared parameters that are trained, in a "
             "buffer of their size for each task. representation: by the last hidden states, which costs next to "
             "nothing. pcgrad takes parameters alone. docs/gradients.md."},
    {.path = "weighting.alpha", .type = BERTH_KEY_NUMBER, .min = 0, .max = 10, .default_value = "1.5", .unit = "",
     .help = "gradnorm: how strongly a task that learns slowly is favoured; 0: all gradients equally long."},
    {.path = "weighting.temperature", .type = BERTH_KEY_NUMBER, .min = 1e-3, .max = 1e3, .default_value = "2", .unit = "",
     .help = "dwa: the larger, the more even the weights."},
    {.path = "weighting.window", .type = BERTH_KEY_INT, .min = 0, .max = 1e9, .default_value = "0", .unit = "steps",
     .help = "dwa: over how many steps a loss is averaged; 0: an epoch."},

    {.path = "freeze", .type = BERTH_KEY_LIST, ANY, .unit = "",
     .help = "Parameters that keep their values. Frozen parameters own no gradient and no optimizer "
             "state."},
    {.path = "freeze[].select", .type = BERTH_KEY_STRING, ANY, .unit = "selector", .required = true,
     .help = "backbone, embeddings, layers.A-B (from 0, both included), layers.N, pooler, heads.NAME, "
             "norms, biases, or a pattern with * and ? over parameter names. The last rule that selects a "
             "parameter decides of it, alone."},
    {.path = "freeze[].until", .type = BERTH_KEY_DURATION, ANY, .unit = "steps or epochs",
     .help = "Frozen before this point of the stage, trained from it on."},
    {.path = "freeze[].from", .type = BERTH_KEY_DURATION, ANY, .unit = "steps or epochs",
     .help = "Trained before this point of the stage, frozen from it on."},
    {.path = "freeze[].frozen", .type = BERTH_KEY_BOOL, ANY, .default_value = "on", .unit = "",
     .help = "Off: an exception from the rules before; what is selected is trained."},

    SECTION("train", "Length of training, batches, optimizer, learning rate."),
    {.path = "train.epochs", .type = BERTH_KEY_NUMBER, .min = 0, .max = 10000, .default_value = "3",
     .unit = "epochs", .unless = "train.steps",
     .help = "How long to train."},
    {.path = "train.steps", .type = BERTH_KEY_INT, .min = 1, .max = 1e9, .unit = "optimizer steps",
     .help = "How long to train, in steps."},
    {.path = "train.batch_size", .type = BERTH_KEY_INT, .min = 1, .max = 65536, .default_value = "32",
     .unit = "sequences", .unless = "train.batch_tokens",
     .help = "Sequences of one optimizer step."},
    {.path = "train.batch_tokens", .type = BERTH_KEY_INT, .min = 16, .max = 1e7, .unit = "tokens",
     .help = "Tokens of one optimizer step: as many sequences as fit. At least model.max_length."},
    {.path = "train.accumulate", .type = BERTH_KEY_INT, .min = 1, .max = 1024, .default_value = "1",
     .unit = "parts",
     .help = "Splits the batch of a step into this many parts whose gradients are added: less memory, "
             "the same mean. With several ranks rounded up to a multiple of them: each has its parts."},
    {.path = "train.recompute", .type = BERTH_KEY_CHOICE, ANY, .choices = "none|layers", .default_value = "none",
     .unit = "",
     .help = "layers: of each trained layer but the highest only the input is kept, and the layer is computed again in the "
             "backward pass: less memory for long sequences, about a quarter more work, the same bits."},
    {.path = "train.optimizer", .type = BERTH_KEY_CHOICE, ANY, .choices = "adamw|sgd|lion",
     .default_value = "adamw", .unit = "",
     .help = "adamw: Adam with decoupled weight decay. sgd: with momentum; its decay is added to the gradient. "
             "lion: the sign of a mean of gradients, decoupled decay; it wants rates 3 to 10 times smaller and "
             "beta2 of 0.99."},
    {.path = "train.lr", .type = BERTH_KEY_NUMBER, .min = 0, .max = 10, .default_value = "5e-5", .unit = "",
     .help = "Peak learning rate of the backbone."},
    {.path = "train.head_lr", .type = BERTH_KEY_NUMBER, .min = 0, .max = 10, .unit = "",
     .help = "Peak learning rate of the heads. Without it train.lr holds."},
    {.path = "train.layer_decay", .type = BERTH_KEY_NUMBER, .min = 0.01, .max = 1, .default_value = "1",
     .unit = "",
     .help = "Each layer learns with this times the rate of the layer above it; the pooler has train.lr, the "
             "embeddings the smallest rate."},
    {.path = "train.groups", .type = BERTH_KEY_LIST, ANY, .unit = "",
     .help = "Rates and decay of selected parameters; of several groups that select one the last counts."},
    {.path = "train.groups[].select", .type = BERTH_KEY_STRING, ANY, .unit = "selector", .required = true,
     .help = "Which parameters, as in freeze[].select."},
    {.path = "train.groups[].lr", .type = BERTH_KEY_NUMBER, .min = 0, .max = 10, .unit = "",
     .help = "Their peak rate, as it stands here: without train.layer_decay."},
    {.path = "train.groups[].weight_decay", .type = BERTH_KEY_NUMBER, .min = 0, .max = 10, .unit = "",
     .help = "Their decay; biases and norms are left out of it always."},
    {.path = "train.beta1", .type = BERTH_KEY_NUMBER, .min = 0, .max = 0.9999, .default_value = "0.9",
     .unit = "",
     .help = "Decay of the mean of gradients."},
    {.path = "train.beta2", .type = BERTH_KEY_NUMBER, .min = 0, .max = 0.999999, .default_value = "0.999",
     .unit = "",
     .help = "Decay of the mean of squared gradients."},
    {.path = "train.eps", .type = BERTH_KEY_NUMBER, .min = 1e-16, .max = 1, .default_value = "1e-8",
     .unit = "",
     .help = "Added to the root of the mean square before dividing."},
    {.path = "train.momentum", .type = BERTH_KEY_NUMBER, .min = 0, .max = 0.9999, .default_value = "0.9",
     .unit = "",
     .help = "sgd: what is kept of the mean of gradients."},
    {.path = "train.nesterov", .type = BERTH_KEY_BOOL, ANY, .default_value = "off", .unit = "",
     .help = "sgd: Nesterov's momentum, which looks one step ahead."},
    {.path = "train.weight_decay", .type = BERTH_KEY_NUMBER, .min = 0, .max = 10, .default_value = "0.01",
     .unit = "",
     .help = "Decoupled weight decay; biases and norms are left out."},
    {.path = "train.schedule", .type = BERTH_KEY_CHOICE, ANY, .choices = "linear|cosine|constant|inverse_sqrt|polynomial",
     .default_value = "linear", .unit = "",
     .help = "The learning rate after warm-up. linear, cosine and polynomial fall to train.min_lr_ratio at the "
             "last step, inverse_sqrt falls as 1/sqrt(step), constant stays."},
    {.path = "train.min_lr_ratio", .type = BERTH_KEY_NUMBER, .min = 0, .max = 1, .default_value = "0",
     .unit = "share",
     .help = "What is left of the peak rate at the end of a schedule."},
    {.path = "train.power", .type = BERTH_KEY_NUMBER, .min = 0.01, .max = 100, .default_value = "1", .unit = "",
     .help = "The polynomial schedule's exponent; 1 is linear."},
    {.path = "train.warmup", .type = BERTH_KEY_NUMBER, .min = 0, .max = 1e9, .default_value = "0.1",
     .unit = "share or steps",
     .help = "The learning rate rises linearly at first: below 1 for this share of all steps, from 1 for "
             "this many steps."},
    {.path = "train.clip_norm", .type = BERTH_KEY_NUMBER, .min = 0, .max = 1e6, .default_value = "1.0",
     .unit = "",
     .help = "The gradient is scaled down to this 2-norm when it is longer; 0 leaves it."},
    {.path = "train.on_nan", .type = BERTH_KEY_CHOICE, ANY, .choices = "stop|skip|rewind",
     .default_value = "stop", .unit = "",
     .help = "What follows a loss or gradient that is not finite. stop: an error, the last checkpoint "
             "stays. skip: nothing is learnt from the step. rewind: parameters and optimizer state of the last "
             "checkpoint by steps or epochs come back, and training goes on behind the bad step."},
    {.path = "train.nan_limit", .type = BERTH_KEY_INT, .min = 1, .max = 1e6, .default_value = "10",
     .unit = "steps",
     .help = "So many bad steps in a row end the run whatever train.on_nan says."},
    {.path = "train.ema", .type = BERTH_KEY_NUMBER, .min = 0, .max = 0.99999, .default_value = "0", .unit = "",
     .help = "Keeps a moving average of the parameters with this decay (at first min(decay, (1+n)/(10+n)) after n "
             "steps), which is evaluated and exported in their place. 0: none."},

    SECTION("evaluate", "Evaluation on the dev rows during training."),
    {.path = "evaluate.every", .type = BERTH_KEY_DURATION, ANY, .default_value = "1 epoch",
     .unit = "",
     .help = "How often; the end of a stage is always evaluated. Evaluations by the clock are shown and choose "
             "nothing, so that a run can be repeated: the model at the end is then the best."},
    {.path = "evaluate.metric", .type = BERTH_KEY_STRING, ANY, .default_value = "mean", .unit = "",
     .help = "What chooses the best checkpoint: mean over the tasks' metrics, or the name of one task."},
    {.path = "evaluate.patience", .type = BERTH_KEY_INT, .min = 0, .max = 1000, .default_value = "0",
     .unit = "evaluations",
     .help = "Training stops after this many evaluations without a better one; 0 never stops it."},
    {.path = "evaluate.batch_size", .type = BERTH_KEY_INT, .min = 1, .max = 65536, .default_value = "64",
     .unit = "sequences",
     .help = "Sequences of one batch of an evaluation. It does not change results."},

    SECTION("checkpoint", "Checkpoints, from which a stopped run resumes with the same bits."),
    {.path = "checkpoint.every", .type = BERTH_KEY_DURATION, ANY, .default_value = "1 epoch", .unit = "",
     .help = "How often; one is always written at the end."},
    {.path = "checkpoint.keep", .type = BERTH_KEY_INT, .min = 1, .max = 1000, .default_value = "2",
     .unit = "checkpoints",
     .help = "How many of the newest are kept. The best model is kept apart from them, in best/."},
    {.path = "checkpoint.keep_every", .type = BERTH_KEY_INT, .min = 0, .max = 1e9, .default_value = "0",
     .unit = "steps",
     .help = "One is also written at each multiple of this many steps, and these are never removed; 0: none."},
    {.path = "checkpoint.best", .type = BERTH_KEY_BOOL, ANY, .default_value = "true", .unit = "",
     .help = "Whether one is also written when an evaluation finds a new best model, and kept while that is the best."},

    {.path = "stages", .type = BERTH_KEY_LIST, ANY, .unit = "",
     .help = "A run in several parts, each starting from the one before. A stage may hold train, freeze, sampling, "
             "weighting and evaluate, whose keys override those above; durations and schedules count from its "
             "beginning, optimizer state begins with zeros."},
    {.path = "stages[].name", .type = BERTH_KEY_STRING, ANY, .unit = "", .required = true,
     .help = "Its name; the best model of every stage but the last is in RUN/stages/NAME."},
    {.path = "stages[].tasks", .type = BERTH_KEY_STRINGS, ANY, .unit = "names",
     .help = "The tasks that are trained; without it all. Every stage evaluates every task."},
    {.path = "stages[].start", .type = BERTH_KEY_CHOICE, ANY, .choices = "last|best", .default_value = "last",
     .unit = "",
     .help = "What the stage starts from: the last model of the stage before, or its best."},

    SECTION("log", "What a run prints and records while it trains."),
    {.path = "log.every", .type = BERTH_KEY_DURATION, ANY, .default_value = "20 steps", .unit = "",
     .help = "How often losses, learning rate and speed are written."},
    {.path = "log.tensorboard", .type = BERTH_KEY_BOOL, ANY, .default_value = "true", .unit = "",
     .help = "Whether the same numbers are also written for TensorBoard, into the run folder."},
};
/* clang-format on */
const size_t berth_config_key_count = sizeof berth_config_keys / sizeof berth_config_keys[0];
