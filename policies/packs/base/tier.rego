# METADATA
# title: Tier
# description: The risk tier that is declared of a model, as an attribute or as a tag such as tier:high.
package affidavit.tier

declared contains input.resource.attributes.tier

declared contains trim_prefix(tag, "tier:") if {
	some tag in input.resource.tags
	startswith(tag, "tier:")
}

# A tier that is declared twice, differently, is none.
name := found if {
	count(declared) == 1
	some found in declared
}
