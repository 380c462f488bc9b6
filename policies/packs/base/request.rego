# METADATA
# title: Request
# description: The request names who wants what, when and where; whatever is missing denies.
package affidavit.request

import data.affidavit.clock
import data.affidavit.finding

kinds := {
	"data.read": "dataset",
	"model.train": "model",
	"model.serve": "model",
	"model.promote": "model",
	"model.assess": "model",
	"model.load": "model",
	"record.disclose": "record",
}

default allow := false

allow if {
	actor_stated
	action_known
	resource_stated
	environment_known
	clock.now
	identified
	columns_well_formed
	count(deny) == 0
}

actor_stated if {
	finding.stated(input.actor.id)
	is_array(input.actor.roles)
	every role in input.actor.roles {
		finding.stated(role)
	}
}

action_known if kinds[input.action]

resource_stated if {
	finding.stated(input.resource.name)
	input.resource.kind == kinds[input.action]
	is_string(input.resource.digest)
	is_array(input.resource.tags)
	every tag in input.resource.tags {
		finding.stated(tag)
	}
}

environment_known if input.environment in {"development", "production"}

columns_well_formed if {
	is_array(input.columns)
	every column in input.columns {
		finding.stated(column.name)
		is_array(column.tags)
	}
	every tag in {tag | some column in input.columns; some tag in column.tags} {
		finding.stated(tag)
	}
}

# METADATA
# title: The actor is named
# custom:
#   rule: request.actor
deny contains finding.of(rego.metadata.rule(), "The request needs actor.id (text) and actor.roles (a list of names).") if {
	not actor_stated
}

# METADATA
# title: The action is known
# custom:
#   rule: request.action
deny contains finding.of(rego.metadata.rule(), message) if {
	not action_known
	message := concat("", ["The action ", finding.quoted(object.get(input, "action", null)), " is not known."])
}

# METADATA
# title: The resource is named and of the kind that the action is for
# custom:
#   rule: request.resource
deny contains finding.of(rego.metadata.rule(), "The request needs resource.kind for its action, resource.name, resource.digest and resource.tags.") if {
	not resource_stated
}

# METADATA
# title: The environment is known
# custom:
#   rule: request.environment
deny contains finding.of(rego.metadata.rule(), "The request needs environment: development or production.") if {
	not environment_known
}

# METADATA
# title: The time is an instant in UTC
# custom:
#   rule: request.time
deny contains finding.of(rego.metadata.rule(), "The request needs time as RFC 3339 in UTC, ending in Z.") if {
	not clock.now
}

# METADATA
# title: The request can be told from others
# custom:
#   rule: request.id
deny contains finding.of(rego.metadata.rule(), "The request needs request_id (text).") if {
	not identified
}

identified if finding.stated(input.request_id)

# METADATA
# title: The columns are named and their tags are text
# custom:
#   rule: request.columns
deny contains finding.of(rego.metadata.rule(), "The request needs columns: a list of objects with name (text) and tags (a list of text).") if {
	not columns_well_formed
}

# METADATA
# title: No column is listed twice
# custom:
#   rule: request.columns_duplicate
deny contains finding.of(rego.metadata.rule(), "A column name is listed more than once; what is asked of one would not bind the other.") if {
	columns_well_formed
	not columns_distinct
}

columns_distinct if count(input.columns) == count({column.name | some column in input.columns})
