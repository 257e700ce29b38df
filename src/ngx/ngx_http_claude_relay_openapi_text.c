
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* Made of api/ by util/openapi.pl. */


#include "ngx_http_claude_relay_api.h"


ngx_str_t  ngx_http_claude_relay_openapi[] = {

    ngx_string("{\"components\":{\"responses\":{\"BadRequest\":{\"content\":"
        "{\"application/json\":{\"schema\":{\"$ref\":\"#/components/s"
        "chemas/Error\"}}},\"description\":\"what is wrong is said\"}"
        ",\"Forbidden\":{\"content\":{\"application/json\":{\"schema"
        "\":{\"$ref\":\"#/components/schemas/Error\"}}},\"description"
        "\":\"this takes another role, or a CSRF token\"},\"NotFound"
        "\":{\"content\":{\"application/json\":{\"schema\":{\"$ref\":"
        "\"#/components/schemas/Error\"}}},\"description\":\"there is"
        " no such thing\"},\"TooLarge\":{\"content\":{\"application/j"
        "son\":{\"schema\":{\"$ref\":\"#/components/schemas/Error\"}}"
        "},\"description\":\"the body is too large\"},\"Unauthorized"
        "\":{\"content\":{\"application/json\":{\"schema\":{\"$ref\":"
        "\"#/components/schemas/Error\"}}},\"description\":\"no login"
        ", or it is over\"},\"Unavailable\":{\"content\":{\"applicati"
        "on/json\":{\"schema\":{\"$ref\":\"#/components/schemas/Error"
        "\"}}},\"description\":\"the store cannot be reached, or ther"
        "e is none\"}},\"schemas\":{\"Error\":{\"additionalProperties"
        "\":false,\"properties\":{\"error\":{\"properties\":{\"messag"
        "e\":{\"type\":\"string\"},\"type\":{\"type\":\"string\"}},\""
        "required\":[\"type\",\"message\"],\"type\":\"object\"}},\"re"
        "quired\":[\"error\"],\"type\":\"object\"},\"Time\":{\"descri"
        "ption\":\"RFC 3339, UTC\",\"type\":[\"string\",\"null\"]}},"
        "\"securitySchemes\":{\"csrf\":{\"description\":\"of the sess"
        "ion, with every method but GET and HEAD\",\"in\":\"header\","
        "\"name\":\"X-CSRF-Token\",\"type\":\"apiKey\"},\"session\":{"
        "\"description\":\"made by POST /v1/session\",\"in\":\"cookie"
        "\",\"name\":\"claude_relay_session\",\"type\":\"apiKey\"},\""
        "token\":{\"description\":\"made by POST /v1/people/{name}/to"
        "kens\",\"scheme\":\"bearer\",\"type\":\"http\"}}},\"info\":{"
        "\"description\":\"JSON in and out. The same operations are t"
        "here on the control socket, without a login. Unknown members"
        ", unknown parameters and members of a wrong type are refused"
        ". No answer has a secret in it but the one that was just mad"
        "e.\",\"license\":{\"identifier\":\"MIT\",\"name\":\"MIT\"},"
        "\"summary\":\"Accounts, keys, limits, usage and state of a r"
        "elay\",\"title\":\"claude-relay\",\"version\":\"1\"},\"opena"
        "pi\":\"3.1.0\",\"paths\":{\"/v1/openapi.json\":{\"get\":{\"o"
        "perationId\":\"openapi\",\"responses\":{\"200\":{\"content\""
        ":{\"application/json\":{\"schema\":{\"required\":[\"openapi"
        "\",\"paths\"],\"type\":\"object\"}}},\"description\":\"OpenA"
        "PI 3.1\"},\"400\":{\"$ref\":\"#/components/responses/BadRequ"
        "est\"},\"401\":{\"$ref\":\"#/components/responses/Unauthoriz"
        "ed\"},\"403\":{\"$ref\":\"#/components/responses/Forbidden\""
        "},\"503\":{\"$ref\":\"#/components/responses/Unavailable\"}}"
        ",\"summary\":\"This description\",\"tags\":[\"state\"],\"x-r"
        "ole\":\"user\"}}},\"security\":[{\"csrf\":[],\"session\":[]}"
        ",{\"token\":[]}],\"servers\":[{\"description\":\"below the l"
        "ocation of claude_relay_admin\",\"url\":\"..\"}]}"),

    ngx_null_string
};
