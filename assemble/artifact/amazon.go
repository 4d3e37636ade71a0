// SPDX-License-Identifier: Apache-2.0

package artifact

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// amazon is S3, or another that speaks its protocol.
type amazon struct{ place }

// client returns what speaks to S3.
func (a amazon) client(ctx context.Context) (*s3.Client, error) {
	var options []func(*config.LoadOptions) error
	if a.o.Transport != nil {
		options = append(options, config.WithHTTPClient(&http.Client{Transport: a.o.Transport}))
	}
	cfg, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return nil, err
	}
	if cfg.Region == "" {
		cfg.Region = "us-east-1" // what S3 itself takes for none
	}
	return s3.NewFromConfig(cfg, func(o *s3.Options) {
		if a.o.Endpoint != "" {
			o.BaseEndpoint = aws.String(a.o.Endpoint)
		}
		// Others than Amazon rarely have a host for each bucket.
		o.UsePathStyle = a.o.Endpoint != "" || a.variable("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL") != ""
	}), nil
}

// Has asks for the object. Who may not list a bucket is told of what isn't there
// that they may not see it: writing will tell.
func (a amazon) Has(ctx context.Context, name string) (bool, error) {
	c, err := a.client(ctx)
	if err != nil {
		return false, a.fail(err)
	}
	_, err = c.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String(a.bucket), Key: aws.String(a.key(name))})
	var answer *smithyhttp.ResponseError
	if errors.As(err, &answer) && (answer.HTTPStatusCode() == http.StatusNotFound || answer.HTTPStatusCode() == http.StatusForbidden) {
		return false, nil
	}
	return err == nil, a.fail(err)
}

// Put writes the object. S3 compares what it gets with the checksum.
func (a amazon) Put(ctx context.Context, name string, b Blob) error {
	c, err := a.client(ctx)
	if err != nil {
		return a.fail(err)
	}
	_, err = c.PutObject(ctx, &s3.PutObjectInput{
		Bucket: aws.String(a.bucket), Key: aws.String(a.key(name)), Body: b, ContentLength: aws.Int64(b.Size),
		ContentType: aws.String(mediaType), ChecksumSHA256: aws.String(base64.StdEncoding.EncodeToString(b.SHA256)),
	})
	return a.fail(err)
}
