
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* Claude's logins: anthropic.md A.1; scopes of A.2, "current native". */


#include "ncr_oauth.h"


ncr_oauth_t  ncr_oauth_claude = {
    .authorize_url = ncr_string("https://claude.ai/oauth/authorize"),
    .token_url = ncr_string("https://platform.claude.com/v1/oauth/token"),
    .client_id = ncr_string("9d1c250a-e61b-44d9-88ed-5944d1962f5e"),
    .redirect_uri =
        ncr_string("https://platform.claude.com/oauth/code/callback"),
    .loopback_uri = ncr_string("http://localhost:54545/callback"),
    .scope = ncr_string("user:profile user:inference "
                        "user:sessions:claude_code user:mcp_servers "
                        "user:file_upload"),
    .setup_scope = ncr_string("user:inference"),
    .profile_path = ncr_string("/api/oauth/profile"),
    .usage_path = ncr_string("/api/oauth/usage"),
    .authorize_extra = "code=true",
    .refresh_scope = 1,
    .send_state = 1,
    .place = 1
};
