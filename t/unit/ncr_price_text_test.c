
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "../../src/model/ncr_price_text.c"
#include "../../src/base/ncr_base64.c"
#include "ncr_test.h"


static void
ncr_test_csv(const char *text, const char *found, const char *name)
{
    char        *printed;
    cJSON       *json;
    ncr_str_t    s;
    const char  *wrong;

    s.data = (ncr_char_t *) (uintptr_t) text;
    s.len = strlen(text);

    json = ncr_price_csv(&s, &wrong);
    printed = json ? cJSON_PrintUnformatted(json) : NULL;

    if (strcmp(printed ? printed : wrong, found) != 0) {
        printf("# %s\n", printed ? printed : wrong);
    }

    ncr_test(strcmp(printed ? printed : wrong, found) == 0, name);

    cJSON_free(printed);
    cJSON_Delete(json);
}


/* all of the built-in table, there and back */

static void
ncr_test_round(void)
{
    char                 error[256], *text;
    cJSON               *json;
    ncr_str_t            s;
    ncr_uint_t           i, same;
    ncr_prices_t        *prices;
    const ncr_prices_t  *builtin;

    builtin = ncr_prices_builtin();
    json = ncr_prices_json(builtin);
    text = cJSON_PrintUnformatted(json);

    s.data = (ncr_char_t *) text;
    s.len = strlen(text);

    ncr_test(ncr_prices_read(&prices, &s, NULL, error, sizeof(error))
             == NCR_OK, "the built-in table as a file");

    same = 0;

    for (i = 0; prices->n == builtin->n && i < prices->n; i++) {
        same += (strcmp(prices->rows[i].model, builtin->rows[i].model) == 0
                 && prices->rows[i].tier == builtin->rows[i].tier
                 && prices->rows[i].from == builtin->rows[i].from
                 && prices->rows[i].over == builtin->rows[i].over
                 && memcmp(&prices->rows[i].rates, &builtin->rows[i].rates,
                           sizeof(ncr_rates_t)) == 0);
    }

    ncr_test(same == builtin->n, "is the same when it is read");

    ncr_prices_free(prices);
    cJSON_free(text);
    cJSON_Delete(json);
}


static void
ncr_test_base64(void)
{
    char         text[64];
    size_t       i, n, len, good;
    ncr_char_t   bytes[32], back[48];

    good = 0;

    for (len = 0; len <= sizeof(bytes); len++) {

        for (i = 0; i < len; i++) {
            bytes[i] = (ncr_char_t) (i * 37 + len);
        }

        i = (size_t) (ncr_base64url(text, bytes, len) - text);

        good += (ncr_base64url_decode(back, &n, text, i) == NCR_OK
                 && n == len && memcmp(back, bytes, len) == 0);
    }

    ncr_test(good == sizeof(bytes) + 1, "base64url, there and back");
    ncr_test(ncr_base64url_decode(back, &n, "A", 1) == NCR_BAD, "a digit");
    ncr_test(ncr_base64url_decode(back, &n, "AB", 2) == NCR_BAD,
             "bits that are left over");
    ncr_test(ncr_base64url_decode(back, &n, "A+==", 4) == NCR_BAD,
             "another alphabet");
}


int
main(void)
{
    ncr_test_csv("", "its first line must have the columns \"model\", "
                 "\"input\" and \"output\"", "nothing");
    ncr_test_csv("model,input\n", "its first line must have the columns "
                 "\"model\", \"input\" and \"output\"", "a column is missing");
    ncr_test_csv("model,input,output\nm,1,2\n",
                 "{\"models\":{\"m\":[{\"input\":1,\"output\":2}]}}", "a row");
    ncr_test_csv("\xEF\xBB\xBFmodel,input,output\r\n\"m\",\"1\",2\r\n\r\n",
                 "{\"models\":{\"m\":[{\"input\":1,\"output\":2}]}}",
                 "with quotes");
    ncr_test_csv("model,input,output\nm,1,x\n",
                 "a price in it is not a number", "no number");
    ncr_test_csv("model,input,output\nm,1,\n,1,2\n", "{\"models\":{}}",
                 "no price, no name");
    ncr_test_csv("model,tier,input,output\nm,historic,1,2\nm,fast,3,4\n",
                 "{\"models\":{\"m\":[{\"tier\":\"fast\",\"input\":3,"
                 "\"output\":4}]}}", "tiers");
    ncr_test_csv("model,aliases,input,output\nm,a;b,1,2\n",
                 "{\"models\":{\"m\":[{\"input\":1,\"output\":2}],\"a\":"
                 "[{\"input\":1,\"output\":2}],\"b\":[{\"input\":1,"
                 "\"output\":2}]}}", "aliases");
    ncr_test_csv("model,input,output\nm-latest,1,2\nm,3,4\nM,5,6\n",
                 "{\"models\":{\"m\":[{\"input\":3,\"output\":4}]}}",
                 "several spellings");
    ncr_test_csv("model,input,output,valid_from,valid_to\n"
                 "m,1,2,2026-08,2026-09-30\n",
                 "{\"models\":{\"m\":[{\"from\":\"2026-08-01T00:00:00Z\","
                 "\"until\":\"2026-10-01T00:00:00Z\",\"input\":1,"
                 "\"output\":2}]}}", "days");
    ncr_test_csv("model,input,output,over,tier_input,tier_output,input_batch,"
                 "output_batch\nm,1,2,200000,3,4,0.5,1\n",
                 "{\"models\":{\"m\":[{\"input\":1,\"output\":2,"
                 "\"over\":200000,\"longer\":{\"input\":3,\"output\":4}},"
                 "{\"tier\":\"batch\",\"input\":0.5,\"output\":1}]}}",
                 "long prompts, batches");

    ncr_test_round();
    ncr_test_base64();

    return ncr_test_done();
}
