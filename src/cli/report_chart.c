/* report_chart.c: line charts as inline SVG, readable without a script: axes with round numbers, a legend, and
 * the numbers of evaluations as titles of their dots.
 *
 *     480 x 220 units, scaled to the column's width; the plot lies within the margins, y grows upwards
 *
 * A series longer than MOST points is drawn by the least and the greatest of each stretch, in their order, so
 * spikes stay visible. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/report_priv.h"

enum { WIDTH = 480, HEIGHT = 220, LEFT = 54, RIGHT = 14, TOP = 10, BOTTOM = 36, MOST = 500 };

struct axes {
    double x0, x1, y0, y1; /* of the data, y as its logarithm where log_y */
    bool log_y;
};

static double scale_y(const struct axes *a, double y) {
    return a->log_y ? log10(y) : y;
}

static double place_x(const struct axes *a, double x) {
    return LEFT + (x - a->x0) / (a->x1 - a->x0) * (WIDTH - LEFT - RIGHT);
}

static double place_y(const struct axes *a, double y) {
    return HEIGHT - BOTTOM - (scale_y(a, y) - a->y0) / (a->y1 - a->y0) * (HEIGHT - TOP - BOTTOM);
}

/* 1, 2 or 5 times a power of ten, so that about `wanted` of them make up the span. */
static double round_step(double span, int wanted) {
    double raw = span / wanted, power = pow(10, floor(log10(raw))), part = raw / power;
    return power * (part < 1.5 ? 1 : part < 3.5 ? 2 : part < 7.5 ? 5 : 10);
}

static bool find_axes(struct axes *a, const struct report_line *lines, size_t count, bool log_y) {
    bool any = false;
    a->log_y = log_y;
    for (size_t i = 0; i < count; i++) {
        const struct report_series *s = lines[i].series;
        for (size_t k = 0; s != NULL && k < s->count; k++) {
            if (log_y && s->y[k] <= 0) return find_axes(a, lines, count, false);
            double y = scale_y(a, s->y[k]);
            if (!any) a->x0 = a->x1 = s->x[k], a->y0 = a->y1 = y;
            a->x0 = fmin(a->x0, s->x[k]);
            a->x1 = fmax(a->x1, s->x[k]);
            a->y0 = fmin(a->y0, y);
            a->y1 = fmax(a->y1, y);
            any = true;
        }
    }
    if (!any) return false;
    a->x0 = fmin(a->x0, 0); /* so that all charts of a run have the same axis */
    if (a->x1 <= a->x0) a->x1 += 1;
    const bool full = a->y1 == 1 && !log_y; /* what reached 1 cannot go above: the plot ends there */
    double room = (a->y1 - a->y0) * 0.05;
    if (room <= fabs(a->y1) * 1e-9) room = fmax(fabs(a->y1) * 0.1, 1e-6);
    if (a->y0 >= 0 && a->y0 - room < 0 && !log_y) /* what cannot be negative begins at 0 */
        a->y0 = 0;
    else
        a->y0 -= room;
    if (!full) a->y1 += room;
    return true;
}

/* A tick's text: as many decimals as the distance between ticks needs; powers of ten far from 1. */
static void add_tick(struct berth_str *out, double value, double step, double largest) {
    char text[64];
    if (value != 0 && (largest >= 1e6 || largest < 1e-3)) {
        snprintf(text, sizeof text, "%.3g", value);
        char *e = strchr(text, 'e');
        if (e != NULL) { /* 5e-05 -> 5e-5 */
            char *digits = e + 1 + (e[1] == '-' || e[1] == '+'), *to = e[1] == '-' ? e + 2 : e + 1;
            while (*digits == '0' && digits[1] != '\0')
                digits++;
            memmove(to, digits, strlen(digits) + 1);
        }
    } else {
        int decimals = step >= 1 ? 0 : (int)ceil(-log10(step) - 1e-9);
        snprintf(text, sizeof text, "%.*f", decimals, value);
    }
    berth_str_add(out, text);
}

static void add_grid(struct berth_str *out, const struct axes *a) {
    double step = round_step(a->y1 - a->y0, 5);
    if (a->log_y && step < 1) step = a->y1 - a->y0 < 1.2 ? step : 1;
    for (double y = ceil(a->y0 / step) * step; y <= a->y1 + step * 1e-6; y += step) {
        double value = a->log_y ? pow(10, y) : fabs(y) < step * 1e-6 ? 0 : y;
        double at = HEIGHT - BOTTOM - (y - a->y0) / (a->y1 - a->y0) * (HEIGHT - TOP - BOTTOM);
        berth_str_addf(out, "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>", LEFT,
                       WIDTH - RIGHT, at, at);
        berth_str_addf(out, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">", LEFT - 6, at + 4);
        if (a->log_y)
            berth_str_addf(out, value >= 0.01 && value < 1e6 ? "%.6g" : "%.2g", value);
        else
            add_tick(out, value, step, fmax(fabs(a->y0), fabs(a->y1)));
        berth_str_add(out, "</text>");
    }
    step = fmax(1, round_step(a->x1 - a->x0, 5));
    for (double x = ceil(a->x0 / step) * step; x <= a->x1 + step * 1e-6; x += step)
        berth_str_addf(out, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.10g</text>", place_x(a, x),
                       HEIGHT - BOTTOM + 16, x);
    berth_str_addf(out, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">step</text>", WIDTH - RIGHT, HEIGHT - 4);
    berth_str_addf(out, "<line class=\"axis\" x1=\"%d\" x2=\"%d\" y1=\"%d\" y2=\"%d\"/>", LEFT, WIDTH - RIGHT,
                   HEIGHT - BOTTOM, HEIGHT - BOTTOM);
}

static void add_point(struct berth_str *out, const struct axes *a, const struct report_series *s, size_t i) {
    berth_str_addf(out, "%.1f,%.1f ", place_x(a, s->x[i]), place_y(a, s->y[i]));
}

static void add_line(struct berth_str *out, const struct axes *a, const struct report_line *line) {
    const struct report_series *s = line->series;
    size_t stretch = s->count > MOST ? (s->count + MOST / 2 - 1) / (MOST / 2) : 1;
    berth_str_addf(out, "<polyline class=\"c%d%s\" points=\"", line->colour, line->dashed ? " dashed" : "");
    for (size_t i = 0; i < s->count; i += stretch) {
        size_t least = i, most = i, end = i + stretch < s->count ? i + stretch : s->count;
        for (size_t k = i; k < end; k++) {
            if (s->y[k] < s->y[least]) least = k;
            if (s->y[k] > s->y[most]) most = k;
        }
        add_point(out, a, s, least < most ? least : most);
        if (least != most) add_point(out, a, s, least < most ? most : least);
    }
    berth_str_add(out, "\"/>");
    for (size_t i = 0; i < s->count && (line->dots || s->count == 1) && s->count <= MOST; i++) {
        berth_str_addf(out, "<circle class=\"c%d\" cx=\"%.1f\" cy=\"%.1f\" r=\"3\"><title>", line->colour,
                       place_x(a, s->x[i]), place_y(a, s->y[i]));
        html_addf(out, "%s, step %.10g: %.6g", line->label, s->x[i], s->y[i]);
        berth_str_add(out, "</title></circle>");
    }
}

void chart_add(struct berth_str *out, const char *title, const struct report_line *lines, size_t count,
               bool log_y) {
    struct axes a = {0};
    if (!find_axes(&a, lines, count, log_y)) return;
    berth_str_add(out, "<figure><figcaption>");
    html_add(out, title);
    if (a.log_y) berth_str_add(out, " <small>(logarithmic)</small>");
    berth_str_add(out, "</figcaption><ul class=\"legend\">");
    for (size_t i = 0; i < count; i++) {
        if (lines[i].series == NULL || lines[i].series->count == 0) continue;
        berth_str_addf(out, "<li><i class=\"c%d%s\"></i>", lines[i].colour, lines[i].dashed ? " dashed" : "");
        html_add(out, lines[i].label);
        berth_str_add(out, "</li>");
    }
    berth_str_addf(out, "</ul><svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"", WIDTH, HEIGHT);
    html_add(out, title);
    berth_str_add(out, "\">");
    add_grid(out, &a);
    for (size_t i = 0; i < count; i++)
        if (lines[i].series != NULL && lines[i].series->count > 0) add_line(out, &a, &lines[i]);
    berth_str_add(out, "</svg></figure>\n");
}
