# What the end-to-end scripts share; sourced. Needs GRPC_ADDR and GRPCURL.
uuid() { cat /proc/sys/kernel/random/uuid 2>/dev/null || uuidgen | tr 'A-Z' 'a-z'; }
user=$(uuid)
info=$(printf '{"sub":"%s"}' "$user" | base64 | tr -d '\n')
passed=0 failed=0

# call METHOD JSON: the answer, or the error's text.
call() {
  "$GRPCURL" -plaintext -H "x-apigateway-api-userinfo: $info" -d "$2" "$GRPC_ADDR" "profile.v1.ProfileService/$1" 2>&1 || true
}
# expect NAME PATTERN ANSWER
expect() {
  if tr -d ' \n' <<<"$3" | grep -qE -- "$2"; then
    passed=$((passed + 1))
    echo "ok   $1"
  else
    failed=$((failed + 1))
    printf 'FAIL %s: wanted %s, got\n%s\n' "$1" "$2" "$3"
  fi
}
# finish closes with the counts.
finish() {
  echo "$passed passed, $failed failed"
  [ "$failed" -eq 0 ]
}
