# METADATA
# title: Selectors
# description: >-
#   Which requests an item of the data is about. What an item does not state does not narrow it; what
#   a request does not state fits nothing but an item that does not ask.
package affidavit.selector

# A purpose counts whatever the case of its letters and the spaces around it.
purposes := {input.purpose, lower(trim_space(input.purpose))} if is_string(input.purpose)

purposes := set() if not stated

stated if is_string(input.purpose)

# The purpose comes first: it is what tells most items apart.
fits(item) if {
	chosen(item, "purposes", purposes)
	chosen(item, "actions", {object.get(input, "action", "")})
	chosen(item, "environments", {object.get(input, "environment", "")})
	chosen(item, "resources", {object.get(input, ["resource", "name"], "")})
	chosen(item, "actors", {object.get(input, ["actor", "id"], "")})
}

chosen(item, key, values) if matches(object.get(item, key, any), values)

any := ["*"]

matches(patterns, _) if "*" in patterns

matches(patterns, values) if {
	some value in values
	value in patterns
}
