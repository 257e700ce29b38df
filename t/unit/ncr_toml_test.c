
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "../../src/base/ncr_toml.c"
#include "ncr_out.h"
#include "ncr_test.h"

#include <stdlib.h>


typedef struct {
    const char  *name;
    const char  *text;
    const char  *found;                 /* "path type value|"..., or */
    const char  *error;
} ncr_test_row_t;


static ncr_test_row_t  ncr_test_rows[] = {

    { "nothing", "", "", NULL },
    { "blank lines", "\n \t\r\n\n", "", NULL },
    { "comments", "# one\n  # two\r\n#", "", NULL },

    { "a string", "a = \"x\"", "a s x|", NULL },
    { "tight", "a='x'\nb=1#c", "a s x|b i 1|", NULL },
    { "empty strings", "a = \"\"\nb = ''\n", "a s |b s |", NULL },
    { "a literal string", "a = 'c:\\n'\n", "a s c:\\n|", NULL },
    { "escapes", "a = \"\\\"\\\\\\t\\u00e9\\U0001F600\\u20ac\\u0041\"",
      "a s \"\\\t\xc3\xa9\xf0\x9f\x98\x80\xe2\x82\xac" "A|", NULL },

    { "integers", "a = 1_795_262_400_000\nb = +7\nc = -7\n",
      "a i 1795262400000|b i 7|c i -7|", NULL },
    { "other values", "a = 1.5\nb = true\nc = 0x1F\nd = 1979-05-27T07:32:00Z\n"
      "e = _1", NULL, "value expected" },
    { "others", "a = 1.5\nb = true\nc = 0x1F\nd = 1979-05-27T07:32:00Z\n"
      "e = 1__0\nf = 1_\ng = -\nh = inf",
      "a o 1.5|b o true|c o 0x1F|d o 1979-05-27T07:32:00Z|e o 1__0|f o 1_|"
      "g o -|h o inf|", NULL },

    { "tables", "x = 1\n[a]\nx = 2\n[ a . b ] # c\nx = 3\n[c]\nx = 4\n",
      "x i 1|a.x i 2|a.b.x i 3|c.x i 4|", NULL },
    { "array of tables", "[[a]]\nx = 1\n", "a.?.x i 1|", NULL },
    { "dotted keys", "a.b = 1\na . \"c\" . 'd' = 2\n",
      "a.b i 1|a.c.d i 2|", NULL },
    { "a quoted point is none", "\"a.b\" = 1\n\"\" = 2\n", "? i 1|? i 2|",
      NULL },

    { "an array", "a = [\"x\", 'y', 1]", "a[] s x|a[] s y|a[] i 1|", NULL },
    { "an array of several lines",
      "a = [ # c\n  \"x\",\n\n  # d\n  \"y\",\r\n]\nb = 1\n",
      "a[] s x|a[] s y|b i 1|", NULL },
    { "an empty array", "a = []\nb = [ \n ]", "", NULL },
    { "arrays in arrays", "a = [[1],[2]]\nb=3", "a[] i 1|a[] i 2|b i 3|",
      NULL },
    { "an inline table", "a = { b = 1, c.d = \"x\" }\ne = {}\nf = 2",
      "a.b i 1|a.c.d s x|f i 2|", NULL },

    { "no key", "= 1", NULL, "key expected" },
    { "no value", "a =", NULL, "value expected" },
    { "no value, a comment", "a = # b", NULL, "value expected" },
    { "a word", "a = yes", NULL, "value expected" },
    { "no =", "a 1", NULL, "\"=\" expected" },
    { "a bare token", "sk-ant-test", NULL, "\"=\" expected" },
    { "two values", "a = 1 b = 2", NULL, "end of line expected" },
    { "a string of several lines", "a = \"\"\"x\"\"\"", NULL,
      "string of several lines" },
    { "the other kind", "a = '''x'''", NULL, "string of several lines" },
    { "a string without an end", "a = \"x", NULL, "string without an end" },
    { "a string over a line", "a = \"x\ny\"", NULL, "string without an end" },
    { "an unknown escape", "a = \"\\x41\"", NULL, "unknown escape" },
    { "a cut escape", "a = \"\\", NULL, "unknown escape" },
    { "a short escape", "a = \"\\u12\"", NULL, "unknown escape" },
    { "an escaped NUL", "a = \"\\u0000\"", NULL, "unknown escape" },
    { "a surrogate", "a = \"\\ud800\"", NULL, "unknown escape" },
    { "beyond Unicode", "a = \"\\U00110000\"", NULL, "unknown escape" },
    { "a control character", "# \x01\n", NULL, "control character" },
    { "a lone CR", "a = 1\rb = 2\n", NULL, "end of line expected" },
    { "a CR at the end", "a = 1\r", NULL, "end of line expected" },
    { "a table without an end", "[a\nb = 1", NULL, "\"]\" expected" },
    { "a half array of tables", "[[a]\nb = 1", NULL, "\"]\" expected" },
    { "a table without a name", "[]\n", NULL, "key expected" },
    { "an array without an end", "a = [1,", NULL, "value expected" },
    { "an array without commas", "a = [1 2]", NULL,
      "\",\" or \"]\" expected" },
    { "an inline table without an end", "a = { b = 1", NULL,
      "\",\" or \"}\" expected" },
    { "an inline table with a last comma", "a = { b = 1, }", NULL,
      "key expected" },
    { "deep", "a = [[[[[[[[[1]]]]]]]]]", NULL, "nesting too deep" },
    { "stop", "a = 1\nstop = 2\nb = 3", "a i 1|stop i 2|", NULL }
};


static ncr_int_t
ncr_test_value(ncr_toml_t *toml, const char *path, ncr_toml_type_e type,
    ncr_str_t *value)
{
    ncr_out_t  *out;

    out = toml->data;

    ncr_out_text(out, path);
    ncr_out_text(out, toml->element ? "[]" : "");
    ncr_out_text(out, (type == NCR_TOML_STRING) ? " s "
                      : (type == NCR_TOML_INTEGER) ? " i " : " o ");
    ncr_out_str(out, value);
    ncr_out_text(out, "|");

    return (strcmp(path, "stop") == 0) ? NCR_DONE : NCR_OK;
}


static ncr_int_t
ncr_test_read(ncr_toml_t *toml, const char *text, size_t len, ncr_out_t *out)
{
    ncr_str_t    s;
    ncr_int_t    rc;
    static char  buf[64 * 1024];

    ncr_out_init(out, (ncr_char_t *) buf, sizeof(buf) - 1);

    /* of its exact length, so that a sanitizer sees who overreads */

    s.len = len;
    s.data = malloc(len + !len);
    memcpy(s.data, text, len);

    toml->data = out;
    toml->value = ncr_test_value;

    rc = ncr_toml_read(toml, &s);

    *out->last = '\0';
    free(s.data);

    return rc;
}


static void
ncr_test_table(void)
{
    size_t             i, n;
    ncr_int_t          rc;
    ncr_out_t          out;
    ncr_uint_t         ok;
    ncr_test_row_t    *row;
    static ncr_toml_t  toml;

    for (i = 0; i < sizeof(ncr_test_rows) / sizeof(ncr_test_rows[0]); i++) {
        row = &ncr_test_rows[i];

        rc = ncr_test_read(&toml, row->text, strlen(row->text), &out);

        if (row->error != NULL) {
            ok = (rc == NCR_BAD && strcmp(toml.error, row->error) == 0);

        } else {
            ok = (rc == NCR_OK || rc == NCR_DONE)
                 && strcmp((char *) out.start, row->found) == 0;
        }

        ncr_test(ok, row->name);

        if (!ok) {
            printf("# %d %s %s\n", (int) rc, out.start,
                   toml.error ? toml.error : "");
        }

        /* cut anywhere it is read or refused, but never overread */

        for (n = 0; n < strlen(row->text); n++) {
            (void) ncr_test_read(&toml, row->text, n, &out);
        }
    }
}


static void
ncr_test_long(void)
{
    char               text[NCR_TOML_TEXT + 16];
    ncr_out_t          out;
    static ncr_toml_t  toml;

    memset(text, 'x', sizeof(text));

    memcpy(text, "a = '", 5);
    text[5 + NCR_TOML_TEXT] = '\'';
    ncr_test(ncr_test_read(&toml, text, 6 + NCR_TOML_TEXT, &out) == NCR_OK,
             "the longest string");

    text[5 + NCR_TOML_TEXT] = 'x';
    text[6 + NCR_TOML_TEXT] = '\'';
    ncr_test(ncr_test_read(&toml, text, 7 + NCR_TOML_TEXT, &out) == NCR_BAD
             && strcmp(toml.error, "string is too long") == 0,
             "a longer one");

    memset(text, '1', sizeof(text));
    memcpy(text, "a = ", 4);
    ncr_test(ncr_test_read(&toml, text, sizeof(text), &out) == NCR_OK,
             "a number of thousands of digits");

    memset(text, 'k', sizeof(text));
    memcpy(text + NCR_TOML_PATH - 2, " = 1", 4);
    ncr_test(ncr_test_read(&toml, text, NCR_TOML_PATH + 2, &out) == NCR_OK,
             "the longest key");

    memcpy(text + NCR_TOML_PATH - 2, "k = 1", 5);
    ncr_test(ncr_test_read(&toml, text, NCR_TOML_PATH + 3, &out) == NCR_BAD
             && strcmp(toml.error, "key is too long") == 0,
             "a longer key");

    ncr_test(ncr_test_read(&toml, "a = 'x\0y'", 9, &out) == NCR_BAD
             && strcmp(toml.error, "control character") == 0, "a NUL");
}


int
main(void)
{
    ncr_test_table();
    ncr_test_long();

    return ncr_test_done();
}
