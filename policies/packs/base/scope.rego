# METADATA
# title: Scope
# description: >-
#   Whether a law concerns a dataset or system: only what is declared brings it into scope, by a tag or
#   by the attribute frameworks, so that nothing is asked of anybody by surprise.
package affidavit.scope

attributes := object.get(input, ["resource", "attributes"], {})

named(law) if law in input.resource.tags

named(law) if law in attributes.frameworks

# One name in place of a list still brings it into scope.
named(law) if attributes.frameworks == law
