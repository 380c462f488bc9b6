# METADATA
# title: Conditions on attributes
# description: >-
#   What a rule asks of the attributes of actor and resource, of the place, the client, the
#   environment and the purpose. An attribute that is not known satisfies nothing and refutes nothing.
# related_resources:
#   - https://doi.org/10.6028/NIST.SP.800-162
package affidavit.attributes

import data.affidavit.clock

# The value of an attribute by its path, such as actor.department or place.region.
value(path) := found if {
	is_string(path)
	parts := split(path, ".")
	parts[0] in {"actor", "resource"}
	found := object.get(input, array.concat([parts[0], "attributes"], array.slice(parts, 1, count(parts))), null)
	found != null
}

value(path) := input.place.region if path == "place.region"

value(path) := input.client.address if path == "client.address"

value(path) := input.environment if path == "environment"

value(path) := input.purpose if path == "purpose"

operators := {"is", "is_not", "same_as", "at_least", "at_most"}

# Every thing that a condition asks holds; a word that no rule knows holds never.
satisfied(condition) if {
	found := value(condition.attribute)
	asked := object.keys(condition) - {"attribute"}
	count(asked) > 0
	every operator in asked {
		compared(operator, found, condition[operator])
	}
}

compared("is", found, wanted) if some_of(found, wanted)

compared("is_not", found, wanted) if {
	is_array(wanted)
	not some_of(found, wanted)
}

compared("same_as", found, path) if alike(found, value(path))

compared("at_least", found, least) if {
	is_number(found)
	is_number(least)
	found >= least
}

compared("at_most", found, most) if {
	is_number(found)
	is_number(most)
	found <= most
}

some_of(found, wanted) if {
	not is_array(found)
	is_array(wanted)
	found in wanted
}

some_of(found, wanted) if {
	is_array(found)
	is_array(wanted)
	some one in found
	one in wanted
}

alike(found, other) if found == other

alike(found, other) if some_of(found, other)

alike(found, other) if {
	is_array(found)
	not is_array(other)
	other in found
}

# A condition is refuted only where all that it speaks of is known and its words are.
refuted(condition) if {
	value_known(condition.attribute)
	known(condition)
	not satisfied(condition)
}

known(condition) if {
	asked := object.keys(condition) - {"attribute"}
	count(asked) > 0
	count(asked - operators) == 0
	not unknown_other(condition)
}

unknown_other(condition) if {
	"same_as" in object.keys(condition)
	not value_known(condition.same_as)
}

value_known(path) if value(path) != null

# A permission's time has come and not gone; dates and hours that cannot be read never come.
in_time(item) if {
	begun(item)
	unexpired(item)
	in_hours(item)
}

begun(item) if object.get(item, "not_before", null) == null

begun(item) if clock.seconds(item.not_before) <= clock.now

unexpired(item) if object.get(item, "expires", null) == null

unexpired(item) if clock.now < clock.seconds(item.expires)

in_hours(item) if object.get(item, "hours", null) == null

in_hours(item) if clock.within(item.hours) == true

# A prohibition's time is surely not now; dates and hours that cannot be read do not end it.
out_of_time(item) if clock.now < clock.seconds(item.not_before)

out_of_time(item) if clock.now >= clock.seconds(item.expires)

out_of_time(item) if clock.within(item.hours) == false
