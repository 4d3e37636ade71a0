// SPDX-License-Identifier: Apache-2.0

package login

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/google/go-containerregistry/pkg/authn"
)

// amazon logs in to ECR with the credentials that every AWS tool uses: those of
// the AWS_* variables, of ~/.aws, of single sign-on, or of the role of the
// machine, container or pod. The token stays in memory.
type amazon struct{ transport http.RoundTripper }

func (a amazon) login(ctx context.Context, r authn.Resource) (authn.Authenticator, error) {
	region := ecrRegion(r.RegistryStr())
	options := []func(*config.LoadOptions) error{config.WithRegion(region)}
	if strings.Contains(r.RegistryStr(), "ecr-fips.") {
		options = append(options, config.WithUseFIPSEndpoint(aws.FIPSEndpointStateEnabled))
	}
	if a.transport != nil {
		options = append(options, config.WithHTTPClient(&http.Client{Transport: a.transport}))
	}
	cfg, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return nil, fmt.Errorf("reading AWS's configuration: %w", err)
	}
	out, err := ecr.NewFromConfig(cfg).GetAuthorizationToken(ctx, &ecr.GetAuthorizationTokenInput{})
	if err != nil {
		return nil, fmt.Errorf("asking AWS for a token: %w", err)
	}
	if len(out.AuthorizationData) == 0 {
		return nil, errors.New("asking AWS for a token: it gives none")
	}
	b, err := base64.StdEncoding.DecodeString(aws.ToString(out.AuthorizationData[0].AuthorizationToken))
	user, password, ok := strings.Cut(string(b), ":")
	if err != nil || !ok {
		return nil, errors.New("asking AWS for a token: it gives one that can't be read") // no word of it
	}
	return authn.FromConfig(authn.AuthConfig{Username: user, Password: password}), nil
}

// ecrRegion returns the region in the name of a registry, as
// ACCOUNT.dkr.ecr.REGION.amazonaws.com or ACCOUNT.dkr-ecr.REGION.on.aws.
func ecrRegion(host string) string {
	parts := strings.Split(host, ".")
	for i, p := range parts[:max(len(parts)-1, 0)] {
		if strings.HasPrefix(p, "ecr") || strings.HasPrefix(p, "dkr-ecr") {
			return parts[i+1]
		}
	}
	return ""
}
