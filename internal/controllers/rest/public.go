package rest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"google.golang.org/protobuf/proto"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
)

// publicCaching lets anybody keep public counters as long as the service itself may (S90).
const publicCaching = "public, max-age=5"

// public are the methods that anyone may call: their answers are the same for everybody.
var public = func() map[string]bool {
	methods := map[string]bool{}
	for _, r := range Routes() {
		access, _ := proto.GetExtension(r.Method.Options(), profilev1.E_Access).(*profilev1.Access)
		methods[fmt.Sprintf("/%s/%s", r.Method.Parent().FullName(), r.Method.Name())] = access.GetAnyone()
	}
	return methods
}()

// contentTag is an entity tag of what a message says; a weak one, since bodies may be compressed.
func contentTag(message proto.Message) (string, error) {
	wire, err := proto.MarshalOptions{Deterministic: true}.Marshal(message)
	if err != nil {
		return "", fmt.Errorf("encode for etag: %w", err)
	}
	sum := sha256.Sum256(wire)
	return `W/"` + hex.EncodeToString(sum[:8]) + `"`, nil
}
