
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "sandbox.h"


/*
 * A scanner, not a validator: it finds values in well-formed JSON and
 * returns NULL where the text ends too early or makes no sense.
 */


const char *
sbx_json_ws(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t')) {
        p++;
    }

    return p;
}


static const char *
sbx_json_skip_string(const char *p, const char *end)
{
    const char  *q, *s;

    for (p++; p < end; p = q + 1) {
        q = memchr(p, '"', (size_t) (end - p));
        if (q == NULL) {
            return NULL;
        }

        for (s = q; s > p && s[-1] == '\\'; s--) { /* void */ }

        if (((q - s) & 1) == 0) {
            return q + 1;
        }
    }

    return NULL;
}


const char *
sbx_json_skip(const char *p, const char *end)
{
    long  depth;

    depth = 0;

    while (p < end) {

        switch (*p) {

        case '"':
            p = sbx_json_skip_string(p, end);
            if (p == NULL || depth == 0) {
                return p;
            }
            continue;

        case '{':
        case '[':
            depth++;
            break;

        case '}':
        case ']':
            if (depth == 0) {
                return p;
            }
            if (--depth == 0) {
                return p + 1;
            }
            break;

        case ',':
        case ':':
        case ' ':
        case '\n':
        case '\r':
        case '\t':
            if (depth == 0) {
                return p;
            }
            break;

        default:
            break;
        }

        p++;
    }

    return depth ? NULL : p;
}


/* one member of an object after another, *pos is NULL to begin */

int
sbx_json_each(sbx_str_t *object, const char **pos, sbx_str_t *key,
    sbx_str_t *value)
{
    const char  *p, *q, *end;

    end = object->data + object->len;
    p = *pos;

    if (p == NULL) {
        p = sbx_json_ws(object->data, end);
        if (p == end || *p != '{') {
            return SBX_ERROR;
        }
        p++;
    }

    p = sbx_json_ws(p, end);

    if (p < end && *p == ',') {
        p = sbx_json_ws(p + 1, end);
    }

    if (p < end && *p == '}') {
        return SBX_END;
    }

    if (p == end || *p != '"') {
        return SBX_ERROR;
    }

    q = sbx_json_skip_string(p, end);
    if (q == NULL) {
        return SBX_ERROR;
    }

    key->data = p + 1;
    key->len = (size_t) (q - p - 2);

    p = sbx_json_ws(q, end);

    if (p == end || *p != ':') {
        return SBX_ERROR;
    }

    p = sbx_json_ws(p + 1, end);
    q = sbx_json_skip(p, end);

    if (q == NULL || q == p) {
        return SBX_ERROR;
    }

    value->data = p;
    value->len = (size_t) (q - p);

    *pos = q;

    return SBX_OK;
}


int
sbx_json_get(sbx_str_t *object, const char *name, sbx_str_t *value)
{
    size_t       n;
    sbx_str_t    key;
    const char  *pos;

    n = strlen(name);
    pos = NULL;

    while (sbx_json_each(object, &pos, &key, value) == SBX_OK) {
        if (key.len == n && memcmp(key.data, name, n) == 0) {
            return SBX_OK;
        }
    }

    return SBX_DECLINED;
}


int
sbx_json_item(sbx_str_t *array, const char **pos, sbx_str_t *value)
{
    const char  *p, *q, *end;

    end = array->data + array->len;
    p = *pos;

    if (p == NULL) {
        p = sbx_json_ws(array->data, end);
        if (p == end || *p != '[') {
            return SBX_ERROR;
        }
        p++;
    }

    p = sbx_json_ws(p, end);

    if (p < end && *p == ',') {
        p = sbx_json_ws(p + 1, end);
    }

    if (p == end || *p == ']') {
        return SBX_END;
    }

    q = sbx_json_skip(p, end);
    if (q == NULL || q == p) {
        return SBX_ERROR;
    }

    value->data = p;
    value->len = (size_t) (q - p);

    *pos = q;

    return SBX_OK;
}


static void
sbx_put_utf8(sbx_buf_t *b, uint32_t v)
{
    char    t[4];
    size_t  n;

    if (v < 0x80) {
        t[0] = (char) v;
        n = 1;

    } else if (v < 0x800) {
        t[0] = (char) (0xc0 | (v >> 6));
        t[1] = (char) (0x80 | (v & 0x3f));
        n = 2;

    } else if (v < 0x10000) {
        t[0] = (char) (0xe0 | (v >> 12));
        t[1] = (char) (0x80 | ((v >> 6) & 0x3f));
        t[2] = (char) (0x80 | (v & 0x3f));
        n = 3;

    } else {
        t[0] = (char) (0xf0 | (v >> 18));
        t[1] = (char) (0x80 | ((v >> 12) & 0x3f));
        t[2] = (char) (0x80 | ((v >> 6) & 0x3f));
        t[3] = (char) (0x80 | (v & 0x3f));
        n = 4;
    }

    sbx_put(b, t, n);
}


static int
sbx_json_u16(const char *p, const char *end, uint32_t *v)
{
    int   i;
    char  t[5];

    if (end - p < 6 || p[0] != '\\' || p[1] != 'u') {
        return SBX_ERROR;
    }

    for (i = 0; i < 4; i++) {
        t[i] = p[2 + i];
    }

    t[4] = '\0';
    *v = (uint32_t) strtoul(t, NULL, 16);

    return SBX_OK;
}


/* appends the decoded text of a string value with its quotes */

void
sbx_json_string(sbx_str_t *value, sbx_buf_t *b)
{
    char         ch;
    uint32_t     v, low;
    const char  *p, *end, *map, *s;

    static const char  from[] = "bfnrt";
    static const char  to[] = "\b\f\n\r\t";

    if (value->len < 2 || value->data[0] != '"') {
        return;
    }

    p = value->data + 1;
    end = value->data + value->len - 1;

    while (p < end) {
        s = memchr(p, '\\', (size_t) (end - p));
        if (s == NULL) {
            s = end;
        }

        sbx_put(b, p, (size_t) (s - p));
        p = s;

        if (end - p < 2) {
            break;
        }

        if (p[1] == 'u' && sbx_json_u16(p, end, &v) == SBX_OK) {
            p += 6;

            if (v >= 0xd800 && v < 0xdc00
                && sbx_json_u16(p, end, &low) == SBX_OK
                && low >= 0xdc00 && low < 0xe000)
            {
                v = 0x10000 + ((v - 0xd800) << 10) + (low - 0xdc00);
                p += 6;
            }

            sbx_put_utf8(b, v);
            continue;
        }

        ch = p[1];
        map = strchr(from, ch);
        if (map && ch) {
            ch = to[map - from];
        }

        sbx_put(b, &ch, 1);
        p += 2;
    }
}
