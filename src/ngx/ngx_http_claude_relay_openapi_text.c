
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* Made of api/ by util/openapi.pl. */


#include "ngx_http_claude_relay_api.h"


ngx_str_t  ngx_http_claude_relay_openapi[] = {

    ngx_string("{\"components\":{\"responses\":{\"BadRequest\":{\"content\":{\"applica"
        "tion/json\":{\"schema\":{\"$ref\":\"#/components/schemas/Error\"}}},\""
        "description\":\"what is wrong is said\"},\"Forbidden\":{\"content\":{"
        "\"application/json\":{\"schema\":{\"$ref\":\"#/components/schemas/Erro"
        "r\"}}},\"description\":\"this takes another role, or a CSRF token\"},"
        "\"NotFound\":{\"content\":{\"application/json\":{\"schema\":{\"$ref\":"
        "\"#/components/schemas/Error\"}}},\"description\":\"there is no such t"
        "hing\"},\"TooLarge\":{\"content\":{\"application/json\":{\"schema\":{"
        "\"$ref\":\"#/components/schemas/Error\"}}},\"description\":\"the body "
        "is too large\"},\"Unauthorized\":{\"content\":{\"application/json\":{"
        "\"schema\":{\"$ref\":\"#/components/schemas/Error\"}}},\"description\""
        ":\"no login, or it is over\"},\"Unavailable\":{\"content\":{\"applicat"
        "ion/json\":{\"schema\":{\"$ref\":\"#/components/schemas/Error\"}}},\"d"
        "escription\":\"the store cannot be reached, or there is none\"}},\"sch"
        "emas\":{\"Error\":{\"additionalProperties\":false,\"properties\":{\"er"
        "ror\":{\"properties\":{\"message\":{\"type\":\"string\"},\"type\":{\"t"
        "ype\":\"string\"}},\"required\":[\"type\",\"message\"],\"type\":\"obje"
        "ct\"}},\"required\":[\"error\"],\"type\":\"object\"},\"Time\":{\"descr"
        "iption\":\"RFC 3339, UTC\",\"type\":[\"string\",\"null\"]}},\"security"
        "Schemes\":{\"csrf\":{\"description\":\"of the session, with every meth"
        "od but GET and HEAD\",\"in\":\"header\",\"name\":\"X-CSRF-Token\",\"ty"
        "pe\":\"apiKey\"},\"session\":{\"description\":\"made by POST /v1/sessi"
        "on\",\"in\":\"cookie\",\"name\":\"claude_relay_session\",\"type\":\"ap"
        "iKey\"},\"token\":{\"description\":\"made by POST /v1/people/{name}/to"
        "kens\",\"scheme\":\"bearer\",\"type\":\"http\"}}},\"info\":{\"descript"
        "ion\":\"JSON in and out. The same operations are there on the control "
        "socket, without a login. Unknown members, unknown parameters and membe"
        "rs of a wrong type are refused. No answer has a secret in it but the o"
        "ne that was just made.\",\"license\":{\"identifier\":\"MIT\",\"name\":"
        "\"MIT\"},\"summary\":\"Accounts, keys, limits, usage and state of a re"
        "lay\",\"title\":\"claude-relay\",\"version\":\"1\"},\"openapi\":\"3.1."
        "0\",\"paths\":{\"/v1/openapi.json\":{\"get\":{\"operationId\":\"openap"
        "i\",\"responses\":{\"200\":{\"content\":{\"application/json\":{\"schem"
        "a\":{\"required\":[\"openapi\",\"paths\"],\"type\":\"object\"}}},\"des"
        "cription\":\"OpenAPI 3.1\"},\"400\":{\"$ref\":\"#/components/responses"
        "/BadRequest\"},\"401\":{\"$ref\":\"#/components/responses/Unauthorized"
        "\"},\"403\":{\"$ref\":\"#/components/responses/Forbidden\"},\"503\":{"
        "\"$ref\":\"#/components/responses/Unavailable\"}},\"summary\":\"This d"
        "escription\",\"tags\":[\"state\"],\"x-role\":\"user\"}}},\"security\":"
        "[{\"csrf\":[],\"session\":[]},{\"token\":[]}],\"servers\":[{\"descript"
        "ion\":\"below the location of claude_relay_admin\",\"url\":\"..\"}]}"),

    ngx_null_string
};
