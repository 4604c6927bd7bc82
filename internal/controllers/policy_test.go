package controllers

import (
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
	"github.com/lingo-services/profile/internal/controllers/identity"
)

// edited is ProfileService as it would be if the contract were changed so.
func edited(t *testing.T, change func(method *descriptorpb.MethodDescriptorProto)) protoreflect.ServiceDescriptor {
	t.Helper()
	file := protodesc.ToFileDescriptorProto(profilev1.File_profile_v1_profile_proto)
	change(file.GetService()[0].GetMethod()[0])
	parsed, err := protodesc.NewFile(file, protoregistry.GlobalFiles)
	require.NoError(t, err)
	return parsed.Services().Get(0)
}

func TestT3_AMethodThatDoesNotSayWhoMayCallItStopsTheStart(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change func(*descriptorpb.MethodDescriptorProto)
		want   string
	}{
		"no option": {
			func(m *descriptorpb.MethodDescriptorProto) { proto.ClearExtension(m.GetOptions(), profilev1.E_Access) },
			"method GetProfile does not say who may call it",
		},
		"empty option": {
			func(m *descriptorpb.MethodDescriptorProto) {
				proto.SetExtension(m.GetOptions(), profilev1.E_Access, &profilev1.Access{})
			},
			"method GetProfile does not say who may call it",
		},
		"unspecified role": {
			func(m *descriptorpb.MethodDescriptorProto) {
				proto.SetExtension(m.GetOptions(), profilev1.E_Access, &profilev1.Access{Self: true, Roles: []profilev1.Role{profilev1.Role_ROLE_UNSPECIFIED}})
			},
			"method GetProfile names an unknown role ROLE_UNSPECIFIED",
		},
		"anyone and somebody": {
			func(m *descriptorpb.MethodDescriptorProto) {
				proto.SetExtension(m.GetOptions(), profilev1.E_Access, &profilev1.Access{Self: true, Anyone: true})
			},
			"method GetProfile is for anyone, and for somebody",
		},
		"new method": {
			func(m *descriptorpb.MethodDescriptorProto) { m.Name = proto.String("GetEverything") },
			"method GetEverything has no deadline and no slots",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := policiesOf(edited(t, tc.change))
			require.EqualError(t, err, tc.want)
		})
	}
}

func TestT3_TheContractSaysWhoMayCall(t *testing.T) {
	t.Parallel()
	policies, err := policiesOf(edited(t, func(*descriptorpb.MethodDescriptorProto) {}))
	require.NoError(t, err)
	require.Equal(t, identity.Access{Self: true, Roles: []identity.Role{identity.Reader}}, policies[profilev1.ProfileService_GetProfile_FullMethodName].access)
	require.Equal(t, identity.Access{Roles: []identity.Role{identity.Compliance}}, policies[profilev1.ProfileService_PurgeUserData_FullMethodName].access)
}
