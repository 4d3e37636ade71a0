// SPDX-License-Identifier: Apache-2.0

package login

import (
	"context"

	"github.com/google/go-containerregistry/pkg/authn"
	ggcr "github.com/google/go-containerregistry/pkg/v1/google"
)

// google returns the login of the application default credentials, which are
// those of GOOGLE_APPLICATION_CREDENTIALS, of gcloud auth application-default
// login or of the machine itself in Google's cloud; else that of gcloud. Much
// in Google's registries is public, so having none is no error.
func google(ctx context.Context, _ authn.Resource) (authn.Authenticator, error) {
	for _, find := range []func(context.Context) (authn.Authenticator, error){ggcr.NewEnvAuthenticator, ggcr.NewGcloudAuthenticator} {
		if a, err := find(ctx); err == nil && a != authn.Anonymous {
			return a, nil
		}
	}
	return authn.Anonymous, nil
}
