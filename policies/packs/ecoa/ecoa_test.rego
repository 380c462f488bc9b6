package affidavit.ecoa_test

import data.affidavit
import data.affidavit.promotion_test
import data.affidavit_test.on_model
import data.affidavit_test.reading

test_no_prohibited_basis_is_a_feature if {
	count(data.ecoa.bases) == 9
	every tag in object.keys(data.ecoa.bases) {
		columns := [{"name": "b", "tags": [tag]}, {"name": "income", "tags": []}]
		outcome := affidavit.data_read with input as object.union(reading, {"columns": columns})
		outcome.allow
		outcome.obligations == {{"kind": "exclude_as_feature", "columns": ["b"], "parameters": {}}}
	}
}

lending := {"resource": {"attributes": {"frameworks": ["ecoa"]}}}

explaining := {"kind": "explain", "columns": [], "parameters": {}}

test_a_credit_decision_is_explained if {
	outcome := affidavit.serve with input as object.union(on_model("model.serve"), lending)
	explaining in outcome.obligations
	other := affidavit.serve with input as on_model("model.serve")
	count(other.obligations) == 0
}

test_a_model_without_explanation_gives_no_reasons if {
	whole := object.union(promotion_test.asking, lending)
	affidavit.promote.allow with input as whole
	none := json.patch(whole, [{"op": "replace", "path": "/evidence/explanations", "value": []}])
	"ecoa.reasons" in {f.rule | some f in affidavit.promote.deny} with input as none
		with data.promotion.require.explanation as false
}
