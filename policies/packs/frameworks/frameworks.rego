# METADATA
# title: Frameworks
# description: >-
#   Each clause of the frameworks that a system declares gets exactly one state at the request's time,
#   from the verified facts of the request: met, partial, person, missing, not in force, or not
#   applicable. The frameworks are data; this is the only place that evaluates them.
# related_resources:
#   - https://eur-lex.europa.eu/eli/reg/2024/1689/oj
package affidavit.frameworks

import data.affidavit.clock
import data.affidavit.finding

default allow := false

allow if count(deny) == 0

attributes := object.get(input, ["resource", "attributes"], {})

listed := object.get(attributes, "frameworks", [])

declared := {id | some id in listed}

answers contains {"framework": id, "clause": name, "state": state(clause), "lacking": lacking(clause)} if {
	some id in declared
	framework := data.frameworks[id]
	some clause in framework.clauses
	name := concat(" ", [framework.short, clause.id])
}

# Total: what no branch reaches is missing.
state(clause) := "not_applicable" if {
	excluded(clause)
} else := "not_in_force" if {
	outside(clause)
} else := "person" if {
	clause.mode == "human"
} else := "met" if {
	clause.mode == "automatic"
	satisfied(clause)
} else := "person" if {
	clause.mode == "mixed"
	satisfied(clause)
} else := "partial" if {
	some requirement in clause.evidence
	holds(requirement)
} else := "missing"

# A clause is set aside only by something that the system declares.
excluded(clause) if contradicted(object.get(clause, "applies", {}))

excluded(clause) if {
	count(clause.in_force) > 0
	count(windows(clause)) == 0
}

contradicted(conditions) if {
	some name, values in conditions
	stated := attributes[name]
	not among(stated, values)
}

among(stated, values) if stated in values

among(stated, values) if {
	is_array(stated)
	some one in stated
	one in values
}

windows(clause) := [window |
	some window in clause.in_force
	not contradicted(object.get(window, "when", {}))
]

# Not in force needs dates that can be read; one that cannot leaves the clause in force.
outside(clause) if {
	every window in windows(clause) {
		closed(window)
	}
}

closed(window) if clock.now < instant(window.from)

closed(window) if clock.now >= instant(window.until)

instant(text) := clock.seconds(concat("", [text, "T00:00:00Z"])) if count(text) == 10

instant(text) := clock.seconds(text) if count(text) != 10

satisfied(clause) if {
	count(clause.evidence) > 0
	every requirement in clause.evidence {
		holds(requirement)
	}
}

holds(requirement) if {
	some leaf in object.get(requirement, "any", [requirement])
	shown(leaf)
}

shown(leaf) if {
	fact := input.evidence.facts[leaf.kind]
	fact.verified == true
	is_number(fact.count)
	fact.count >= object.get(leaf, "min", 1)
	timely(leaf, object.get(fact, "newest", null))
}

shown(leaf) if said(attributes[leaf.declared])

timely(leaf, null) if not "max_age_days" in object.keys(leaf)

timely(leaf, newest) if {
	at := clock.seconds(newest)
	at <= clock.now
	young(leaf, clock.now - at)
}

young(leaf, _) if not "max_age_days" in object.keys(leaf)

young(leaf, age) if age <= leaf.max_age_days * 86400

said(true)

said(value) if is_number(value)

said(value) if finding.stated(value)

said(value) if {
	is_array(value)
	count(value) > 0
	every one in value {
		finding.stated(one)
	}
}

lacking(clause) := [named(requirement) |
	some requirement in clause.evidence
	not holds(requirement)
]

named(requirement) := concat(" or ", [word |
	some leaf in object.get(requirement, "any", [requirement])
	word := worded(leaf)
])

worded(leaf) := leaf.kind

worded(leaf) := concat(" ", ["the declaration", leaf.declared])

about(meta, answer, message) := object.union(finding.of(meta, message), {"clause": answer.clause})

# METADATA
# title: The declared frameworks are a list of names
# custom:
#   rule: frameworks.declaration
#   severity: high
deny contains finding.of(rego.metadata.rule(), "The system's frameworks are not a list of names.") if {
	not well_declared
}

well_declared if {
	is_array(listed)
	every id in listed {
		finding.stated(id)
	}
}

# METADATA
# title: Every declared framework is known
# custom:
#   rule: frameworks.unknown
#   severity: high
deny contains finding.of(rego.metadata.rule(), message) if {
	some id in declared
	not known(id)
	message := concat("", ["The framework ", finding.quoted(id), " is not in the policy data, so nothing of it was judged."])
}

known(id) if is_array(data.frameworks[id].clauses)

# METADATA
# title: A clause has no evidence
# custom:
#   rule: frameworks.missing
#   severity: high
missing contains about(rego.metadata.rule(), answer, message) if {
	some answer in answers
	answer.state == "missing"
	message := concat("", ["There is no evidence that counts: ", concat(", ", answer.lacking), "."])
}

# METADATA
# title: A clause has a part of its evidence
# custom:
#   rule: frameworks.partial
#   severity: medium
doubtful contains about(rego.metadata.rule(), answer, message) if {
	some answer in answers
	answer.state == "partial"
	message := concat("", ["Evidence is lacking: ", concat(", ", answer.lacking), "."])
}

# METADATA
# title: Only a person can answer what is left of a clause
# custom:
#   rule: frameworks.person
#   severity: low
doubtful contains about(rego.metadata.rule(), answer, "What is left needs a person's answer.") if {
	some answer in answers
	answer.state == "person"
}

# METADATA
# title: A clause's evidence is there
# custom:
#   rule: frameworks.met
#   severity: low
settled contains about(rego.metadata.rule(), answer, "The evidence is there.") if {
	some answer in answers
	answer.state == "met"
}

# METADATA
# title: A clause is not in force at the request's time
# custom:
#   rule: frameworks.not_in_force
#   severity: low
settled contains about(rego.metadata.rule(), answer, "The clause is not in force at this time.") if {
	some answer in answers
	answer.state == "not_in_force"
}

# METADATA
# title: A clause does not apply to what the system declares
# custom:
#   rule: frameworks.not_applicable
#   severity: low
settled contains about(rego.metadata.rule(), answer, "The clause does not apply to what the system declares.") if {
	some answer in answers
	answer.state == "not_applicable"
}
