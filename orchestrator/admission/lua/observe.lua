-- observe: what a provider says of its own limits, for all that call it.
--
-- Guarantee  levels are lowered to what is left and calls are held back for `block_ms`; nothing
--            is ever raised.
-- KEYS    gate
-- ARGV    resource tenant block_ms requests_left input_tokens_left output_tokens_left
-- REPLY   nothing
-- USES    now ready config resource bucket
local policy = policy_of(resource)
local scope = scope_of(resource, tenant, policy)
local levels = levels_of(scope, policy)
hear(levels, policy, tonumber(block_ms),
     {requests = tonumber(requests_left), input_tokens = tonumber(input_tokens_left),
      output_tokens = tonumber(output_tokens_left)})
write_levels(scope, levels, policy)
return ''
