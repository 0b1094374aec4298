#!/usr/bin/env bash
# The check of test_toy_receiver.py from a shell: curl drives the simulator, any language may
# receive. Needs crm-simulator, curl and python (which takes values out of JSON).
# Ends with 0 if the receiver did its work, else with the reason why not.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python3}
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null; wait; rm -rf "$work"' EXIT

json() { "$python" -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }
first_line() {  # of a file that a program is about to write; it ends with the program
  "$python" - "$1" "$2" <<'PYTHON'
import os, sys, time
path, process = sys.argv[1], int(sys.argv[2])
while not (line := open(path).readline()).endswith("\n"):
    os.kill(process, 0)
    time.sleep(0.02)
print(line.split()[-1])
PYTHON
}

touch "$work/simulator.out" "$work/receiver.out"

# 1. The simulator, on a free port.
crm-simulator serve --port 0 --data-dir "$work/simulator" >"$work/simulator.out" 2>"$work/simulator.log" &
sim=$(first_line "$work/simulator.out" $!)
ca="$work/simulator/ca.pem"
call() {  # METHOD PATH [BODY]; prints what is answered, and ends the script where it is a refusal
  curl --silent --show-error --fail-with-body --cacert "$ca" -X "$1" "$sim/_sim$2" \
    -H 'Content-Type: application/json' ${3+--data "$3"} || { echo " <- $1 $2" >&2; return 1; }
}

# 2. The receiver, with a certificate that the simulator trusts.
issued=$(call POST /certificates '{}')
json certificate <<<"$issued" >"$work/receiver.pem"
json key <<<"$issued" >"$work/receiver.key"
json ca <<<"$issued" >"$work/ca.pem"
known=$(call GET /credentials)
"$python" "$here/toy_receiver.py" "$sim" "$(json tenant <<<"$known")" "$(json api_key <<<"$known")" \
  "$work" >"$work/receiver.out" 2>"$work/receiver.log" &
receiver=$(first_line "$work/receiver.out" $!)

# 3. An agent creates and edits a customer; the trigger is delivered; the receiver has it.
call PUT /triggers "{\"all\": \"$receiver/triggers/{kind}/{event}\"}" >/dev/null
number=$(call POST /agent/customers '{"values": {"firstname": "Ada", "lastname": "Byron"}}' | json record_id)
call PATCH "/agent/customers/$number" '{"values": {"lastname": "Lovelace"}}' >/dev/null
call POST /wait '{"until": "idle", "timeout_s": 30}' >/dev/null
lastname=$(curl --silent --fail --cacert "$work/ca.pem" "$receiver/customers/$number" | json LASTNAME)
[ "$lastname" = Lovelace ] || { echo "The receiver knows customer $number as $lastname." >&2; exit 1; }
echo "Customer $number arrived, and so did its edit."
