# METADATA
# title: Promotion settings
# description: The thresholds in force for one model, and how old evidence may be.
package affidavit.settings

import data.affidavit.clock

# What a model's own entry says goes before the general settings.
effective := object.union(
	object.remove(data.promotion, ["models"]),
	object.get(data.promotion.models, input.resource.name, {}),
)

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
