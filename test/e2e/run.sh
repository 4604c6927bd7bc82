#!/usr/bin/env bash
# Starts the stack as `make run` does, on free ports and with data of its own, runs the end-to-end scripts
# against it, stops it with Ctrl-C's signal and expects an orderly exit.
set -euo pipefail
cd "$(dirname "$0")/../.."
chromium=${CHROMIUM:-$(command -v chromium || command -v google-chrome || true)}
[ -n "$chromium" ] || { echo 'the tests in a browser need chromium, or CHROMIUM=path of a browser like it'; exit 1; }
work=$(mktemp -d)
stack=
finish() {
  if [ -n "$stack" ] && kill -0 "$stack" 2>/dev/null; then
    kill -INT "$stack"
    wait "$stack" || true
  fi
  rm -rf "$work"
}
trap finish EXIT
mkdir -p .bin && go build -o .bin/profilectl ./cmd/profilectl
env -u DATABASE_URL PROFILE_GRPC_ADDR=127.0.0.1:0 PROFILE_HTTP_ADDR=127.0.0.1:0 PROFILE_ADMIN_ADDR=127.0.0.1:0 \
  .bin/profilectl dev --ephemeral --log-level warn >"$work/out" 2>"$work/err" &
stack=$!
for _ in $(seq 600); do
  grep -qx ready "$work/out" && break
  kill -0 "$stack" 2>/dev/null || break
  read -rt 0.1 <> <(:) || true
done
cat "$work/out"
grep -qx ready "$work/out" || { cat "$work/err"; echo 'the stack did not become ready'; exit 1; }
grpc=$(sed -n 's/^grpc: *//p' "$work/out")
admin=$(sed -n 's/^admin: *//p' "$work/out")
# The printed line must work as it is.
printed=$(grep -m1 'grpcurl -plaintext' "$work/out")
bash -c "$printed" | grep -q '"displayName": "Ada"'
printed=$(grep -m1 'curl -s -H "authorization: Bearer' "$work/out")
bash -c "$printed" | grep -q '"Ada"'
broker=$(sed -n 's/^broker: \([0-9.:]*\).*/\1/p' "$work/out")
GRPC_ADDR=$grpc ADMIN_ADDR=$admin GRPCURL=.bin/grpcurl test/e2e/profile_flow_test.sh
GRPC_ADDR=$grpc go run ./test/e2e/client
docs=$(sed -n 's/^docs: *//p' "$work/out")
token=$(sed -n 's/.*authorization: Bearer \([^"]*\)".*/\1/p' "$work/out")
TOKEN=$token CHROMIUM=$chromium node test/e2e/page_test.mjs "$docs" ${SCREENSHOTS:-}
export BASE_URL=${docs%/docs}
TOKEN=$token CHROMIUM=$chromium node test/e2e/browser_client_test.mjs
TOKEN=$token node --test --test-reporter=spec clients/typescript/dist/test/stack.test.js
GRPC_ADDR=$grpc GRPCURL=.bin/grpcurl PROFILECTL=.bin/profilectl PUBSUB_EMULATOR_HOST=$broker test/e2e/event_chain_test.sh
kill -INT "$stack"
wait "$stack"
stack=
echo 'stack stopped in order'
