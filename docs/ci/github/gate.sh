#!/usr/bin/env bash
# What the action runs. Everything that it is told comes in variables and is only ever an argument.
set -uo pipefail

models=()
while IFS= read -r line || [[ -n $line ]]; do
  line=${line%$'\r'}
  line=${line#"${line%%[![:space:]]*}"}
  line=${line%"${line##*[![:space:]]}"}
  [[ -n $line ]] && models+=("$line")
done <<<"${GATE_MODELS:-}"

arguments=(--format github "--stage=${GATE_STAGE:-promote}" "--effective-time=${GATE_EFFECTIVE_TIME:-}")
for form in sarif junit json; do
  name="GATE_${form^^}"
  file=${!name:-}
  if [[ $file == *[$'\n\r']* ]]; then
    echo "::error title=affidavit gate::The name of the $form file holds a line feed."
    exit 2
  fi
  [[ -n $file ]] && rm -f -- "$file" && arguments+=("--also=$form=$file")
done

affidavit gate "${arguments[@]}" -- "${models[@]}"
code=$?

allowed=false
[[ $code -eq 0 ]] && allowed=true
sarif=""
[[ -n ${GATE_SARIF:-} && -f ${GATE_SARIF:-} ]] && sarif=$GATE_SARIF
{
  echo "exit-code=$code"
  echo "allowed=$allowed"
  echo "sarif=$sarif"
} >>"${GITHUB_OUTPUT:-/dev/null}"
exit "$code"
