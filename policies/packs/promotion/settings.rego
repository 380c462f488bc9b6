# METADATA
# title: Promotion settings
# description: The thresholds in force for one model, and how old evidence may be.
package affidavit.settings

import data.affidavit.clock
import data.affidavit.tier

# What a model's own entry says goes before its tier's, and that before the general settings.
effective := object.union(
	object.union(object.remove(data.promotion, ["models", "tiers"]), of_tier),
	object.get(data.promotion.models, input.resource.name, {}),
)

default of_tier := {}

of_tier := data.promotion.tiers[tier.name]

# Where tiers are set, a model that has none of them escapes them all.
tier_known if count(data.promotion.tiers) == 0

tier_known if data.promotion.tiers[tier.name]

# A kind of evidence is left out only by an explicit false.
waived(kind) if effective.require[kind] == false

fresh(time) if {
	at := clock.seconds(time)
	at <= clock.now
	clock.now - at <= effective.max_age_days * 86400
}

# The items with the latest time; each item must have a readable one.
newest(items) := [item |
	some item in items
	clock.seconds(item.time) == max({at | some other in items; at := clock.seconds(other.time)})
]
