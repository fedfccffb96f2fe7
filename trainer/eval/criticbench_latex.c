/* criticbench_latex: answers in LaTeX, written alike before they are compared:
 *   1. left out: white space and \! \, \; \: "\ ", \left and \right, $ \$ % \% and the marks of formulas, degrees; dfrac and tfrac are frac
 *   2. cut off: full stops and * at the end, * in front, a \text{..} at the end (where nothing else is there its content stays), a name of one or two letters before the only "="
 *   3. decimals: .5 is 0.5, 2.0 is 2
 *   4. arguments of \frac, \sqrt, ^ and _ stand in braces: \frac12 is \frac{1}{2}, x^2 is x^{2}
 *   5. a/b of whole numbers is \frac{a}{b}
 * Two that are numbers then, or fractions of numbers, are compared as numbers. One of more than MAX_LATEX bytes is not compared. */
#include <string.h>

#include "trainer/eval/criticbench_forms.h"

enum { MAX_LATEX = 2048 };

/* A 0 stands behind it. */
struct latex { size_t n; bool too_long; char text[MAX_LATEX + 1]; };

static void put(struct latex *out, const char *bytes, size_t n)
{
    out->too_long = out->too_long || n > MAX_LATEX - out->n;
    if (out->too_long)
        return;
    memcpy(out->text + out->n, bytes, n);
    out->n += n;
    out->text[out->n] = 0;
}

static void put_text(struct latex *out, const char *text) { put(out, text, strlen(text)); }

/* Keeps [first, first + n). */
static void keep(struct latex *x, size_t first, size_t n)
{
    memmove(x->text, x->text + first, n);
    x->n = n;
    x->text[n] = 0;
}

/* ---- 1, left out ----------------------------------------------------------------------------------------------------------------------------- */

/* The first row keeps the line break of a matrix from being read as "\ ". */
static const struct { const char *from, *to; } plain[] = {
    {"\\\\", "\\\\"}, {"\\left", ""}, {"\\right", ""}, {"\\dfrac", "\\frac"}, {"\\tfrac", "\\frac"}, {"\\!", ""}, {"\\,", ""}, {"\\;", ""}, {"\\:", ""}, {"\\ ", ""},
    {"\\$", ""}, {"$", ""}, {"\\%", ""}, {"%", ""}, {"\\(", ""}, {"\\)", ""}, {"\\[", ""}, {"\\]", ""}, {"^{\\circ}", ""}, {"^\\circ", ""}, {"\xc2\xb0", ""},
    {"{,}", ","}, {"\xe2\x88\x92", "-"}, {" ", ""}, {"\t", ""}, {"\n", ""}, {"\r", ""},
};

/* A command ends where its letters end: \leftarrow is not \left. */
static bool stands_at(const char *from, const char *at, const char *end)
{
    size_t n = strlen(from);
    return (size_t)(end - at) >= n && memcmp(at, from, n) == 0 && !(is_letter(from[n - 1]) && at + n < end && is_letter(at[n]));
}

static void leave_out(struct text in, struct latex *out)
{
    const char *end = in.bytes + in.n_bytes;
    for (const char *at = in.bytes; at < end;) {
        size_t i = 0, n = sizeof plain / sizeof *plain;
        while (i < n && !stands_at(plain[i].from, at, end))
            i++;
        put(out, i < n ? plain[i].to : at, i < n ? strlen(plain[i].to) : 1);
        at += i < n ? strlen(plain[i].from) : 1;
    }
}

/* ---- 2, cut off ------------------------------------------------------------------------------------------------------------------------------ */

static void cut_ends(struct latex *x)
{
    size_t first = strspn(x->text, "*"), n = x->n;
    while (n > first && (x->text[n - 1] == '.' || x->text[n - 1] == '*'))
        n--;
    keep(x, first, n - first);
}

static const char *last_of(const char *text, const char *word)
{
    const char *last = NULL;
    for (const char *at = strstr(text, word); at; at = strstr(at + 1, word))
        last = at;
    return last;
}

static void cut_unit(struct latex *x)
{
    static const char *const command[] = {"\\text{", "\\textbf{", "\\mbox{", "\\mathrm{"};
    for (size_t i = 0; i < sizeof command / sizeof *command; i++) {
        const char *at = last_of(x->text, command[i]), *inside = at ? at + strlen(command[i]) : NULL;
        if (!at || strchr(inside, '}') != x->text + x->n - 1)
            continue;
        if (at > x->text)
            keep(x, 0, (size_t)(at - x->text));
        else
            keep(x, strlen(command[i]), x->n - strlen(command[i]) - 1);
    }
}

static void cut_name(struct latex *x)
{
    size_t n = strcspn(x->text, "=");
    bool short_name = n >= 1 && n <= 2 && is_letter(x->text[0]) && is_letter(x->text[n - 1]);
    if (short_name && x->text[n] && !strchr(x->text + n + 1, '='))
        keep(x, n + 1, x->n - n - 1);
}

/* ---- 3, decimals ----------------------------------------------------------------------------------------------------------------------------- */

static void write_decimals(const struct latex *in, struct latex *out)
{
    for (const char *at = in->text; *at; at++) {
        bool behind_digit = at > in->text && is_digit(at[-1]);
        size_t n_zeros = *at == '.' ? strspn(at + 1, "0") : 0;
        if (n_zeros > 0 && behind_digit && !is_digit(at[1 + n_zeros]))
            at += n_zeros;
        else if (*at == '.' && !behind_digit && is_digit(at[1]))
            put_text(out, "0.");
        else
            put(out, at, 1);
    }
}

/* ---- 4, arguments ---------------------------------------------------------------------------------------------------------------------------- */

static const struct { const char *command; int n_arguments; } taking[] = {{"\\frac", 2}, {"\\sqrt", 1}, {"^", 1}, {"_", 1}};

/* The brace that closes the one at `at`, or NULL. \{ and \} are signs, not braces. */
static const char *closing(const char *at, const char *end)
{
    int64_t depth = 0;
    for (; at < end; at++) {
        if (*at == '\\')
            at++;
        else if (*at == '{')
            depth++;
        else if (*at == '}' && --depth == 0)
            return at;
    }
    return NULL;
}

/* A command with its letters, or one character. */
static const char *token_end(const char *at, const char *end)
{
    const char *stop = at + 1;
    if (*at == '\\' && stop < end && !is_letter(*stop))
        return stop + 1;
    while (stop < end && (*at == '\\' ? is_letter(*stop) : ((unsigned char)*stop & 0xc0) == 0x80))
        stop++;
    return stop;
}

static void write_arguments(const char *at, const char *end, struct latex *out);

static const char *write_argument(const char *at, const char *end, struct latex *out)
{
    const char *close = *at == '{' ? closing(at, end) : NULL, *stop = close ? close : token_end(at, end);
    put_text(out, "{");
    write_arguments(close ? at + 1 : at, stop, out);
    put_text(out, "}");
    return close ? close + 1 : stop;
}

static void write_arguments(const char *at, const char *end, struct latex *out)
{
    while (at < end) {
        size_t i = 0, n = sizeof taking / sizeof *taking;
        while (i < n && strncmp(at, taking[i].command, strlen(taking[i].command)) != 0)
            i++;
        const char *stop = i < n ? at + strlen(taking[i].command) : token_end(at, end);
        put(out, at, (size_t)(stop - at));
        at = stop;
        for (int k = 0; i < n && k < taking[i].n_arguments && at < end && *at != '['; k++)
            at = write_argument(at, end, out);
    }
}

/* ---- 5, a/b, and numbers --------------------------------------------------------------------------------------------------------------------- */

static void write_fraction(struct latex *x)
{
    static const char digits[] = "0123456789";
    struct latex in = *x;
    size_t sign = in.text[0] == '-', a = strspn(in.text + sign, digits), slash = sign + a, b = in.text[slash] == '/' ? strspn(in.text + slash + 1, digits) : 0;
    if (a == 0 || b == 0 || slash + 1 + b != in.n)
        return;
    *x = (struct latex){0};
    put(x, "-", sign);
    put_text(x, "\\frac{");
    put(x, in.text + sign, a);
    put_text(x, "}{");
    put(x, in.text + slash + 1, b);
    put_text(x, "}");
}

/* A number with its sign, up to `end`; returns what is behind that, or NULL. */
static const char *take_number(const char *at, const char *end, double *value)
{
    bool negative = *at == '-';
    at += negative || *at == '+';
    if (!is_digit(*at))
        return NULL;
    at = take_digits(at, value);
    *value = negative ? -*value : *value;
    return strncmp(at, end, strlen(end)) == 0 ? at + strlen(end) : NULL;
}

static bool take_fraction(const char *at, double *value)
{
    double above, below;
    bool negative = *at == '-';
    at += negative;
    if (strncmp(at, "\\frac{", 6) != 0 || !(at = take_number(at + 6, "}{", &above)) || !(at = take_number(at, "}", &below)) || *at || same_number(below, 0.0))
        return false;
    *value = (negative ? -above : above) / below;
    return true;
}

static bool is_number(const struct latex *x, double *value)
{
    const char *end = take_number(x->text, "", value);
    return end ? !*end : take_fraction(x->text, value);
}

/* ---- comparison ------------------------------------------------------------------------------------------------------------------------------ */

/* False: there is nothing, or too much. */
static bool write_alike(struct text in, struct latex *out)
{
    struct latex part = {0}, decimals = {0};
    *out = (struct latex){0};
    leave_out(in, &part);
    cut_ends(&part);
    cut_unit(&part);
    cut_name(&part);
    write_decimals(&part, &decimals);
    write_arguments(decimals.text, decimals.text + decimals.n, out);
    write_fraction(out);
    return out->n > 0 && !part.too_long && !decimals.too_long && !out->too_long;
}

static bool same_latex(struct text reference, struct text given)
{
    struct latex a, b;
    double x, y;
    if (!write_alike(reference, &a) || !write_alike(given, &b))
        return false;
    return is_number(&a, &x) && is_number(&b, &y) ? same_number(x, y) : strcmp(a.text, b.text) == 0;
}

static struct text last_boxed(const char *text)
{
    static const char box[] = "\\boxed{";
    struct text found = {0};
    for (const char *at = strstr(text, box); at; at = strstr(at + 1, box)) {
        const char *open = at + sizeof box - 2, *close = closing(open, text + strlen(text));
        if (close)
            found = (struct text){open + 1, (size_t)(close - open - 1)};
    }
    return found;
}

/* The formula that the text begins with, else the text. */
static struct text formula(struct text text)
{
    static const struct { const char *open, *close; } mark[] = {{"$$", "$$"}, {"$", "$"}, {"\\(", "\\)"}, {"\\[", "\\]"}};
    for (size_t i = 0; i < sizeof mark / sizeof *mark; i++) {
        size_t n = strlen(mark[i].open);
        const char *close = text.n_bytes > n && memcmp(text.bytes, mark[i].open, n) == 0 ? strstr(text.bytes + n, mark[i].close) : NULL;
        if (close && close > text.bytes + n && close < text.bytes + text.n_bytes)
            return (struct text){text.bytes + n, (size_t)(close - text.bytes) - n};
    }
    return text;
}

static struct text boxed_or_all(const char *text)
{
    struct text boxed = last_boxed(text);
    return boxed.bytes ? boxed : (struct text){text, strlen(text)};
}

bool criticbench_latex_comparable(const char *reference)
{
    struct latex x;
    return write_alike(boxed_or_all(reference), &x);
}

static bool same_last_number(struct text reference, const char *reply)
{
    struct latex x;
    double right, given;
    return write_alike(reference, &x) && is_number(&x, &right) && criticbench_answer(ANSWER_NUMBER, reply, &given) && same_number(right, given);
}

/* The announced answer is a number with a word behind it: "12 apples". */
static bool same_with_unit(struct text reference, struct text announced)
{
    size_t n = 0, letters = 0;
    while (n < announced.n_bytes && strchr("0123456789.,-/", announced.bytes[n]))
        n++;
    for (size_t i = n + 1; i < announced.n_bytes; i++) {
        bool letter = (announced.bytes[i] | 32) >= 'a' && (announced.bytes[i] | 32) <= 'z';
        if (!letter && !strchr(" .!", announced.bytes[i]))
            return false;
        letters += letter;
    }
    return n > 0 && n < announced.n_bytes && announced.bytes[n] == ' ' && letters > 1 && same_latex(reference, (struct text){announced.bytes, n});
}

bool criticbench_latex_same(const char *reference, const char *reply)
{
    struct text right = boxed_or_all(reference), boxed = last_boxed(reply), announced = announced_text(reply, true);
    if (boxed.bytes)
        return same_latex(right, boxed);
    if (same_latex(right, (struct text){reply, strlen(reply)}))
        return true;
    return announced.bytes ? same_latex(right, formula(announced)) || same_with_unit(right, formula(announced)) : same_last_number(right, reply);
}
