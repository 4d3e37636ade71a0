// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// A workload is what a project of some kind requires.
type workload struct {
	name, about  string
	requirements []string
	bump         [2]string // one of requirements, and what it becomes
	add          string    // one requirement more
	once         bool      // a build takes minutes with some: each is done once
	brief        bool      // and only those that tell most
}

// workloads are real projects' requirements. Their versions are fixed as far as
// it decides what is measured; the index of a run fixes the others.
var workloads = []workload{
	{
		name: "web", about: "a web service",
		requirements: strings.Fields(`fastapi==0.116.1 uvicorn[standard]==0.35.0 gunicorn sqlalchemy==2.0.41 alembic
			psycopg[binary] redis celery httpx pydantic-settings orjson jinja2 python-multipart boto3==1.39.3 sentry-sdk
			opentelemetry-sdk structlog tenacity`),
		bump: [2]string{"sqlalchemy==2.0.41", "sqlalchemy==2.0.42"},
		add:  "pillow==11.3.0",
	},
	{
		name: "data", about: "a data-science project",
		requirements: strings.Fields(`numpy==2.2.6 pandas==2.3.0 scipy scikit-learn matplotlib seaborn plotly bokeh pyarrow polars duckdb
			statsmodels lightgbm xgboost-cpu catboost numba sympy networkx dask[complete] mlflow==3.1.1 optuna jupyterlab
			ipywidgets streamlit dash transformers datasets tokenizers onnxruntime spacy nltk gensim boto3
			google-cloud-storage google-cloud-bigquery azure-storage-blob azure-identity kubernetes sqlalchemy psycopg[binary]
			fastapi[standard] great-expectations pydantic-settings openai pytest ruff`),
		bump: [2]string{"pandas==2.3.0", "pandas==2.3.1"},
		add:  "pillow-heif==1.0.0",

		once: true,
	},
	{
		name: "torch", about: "PyTorch with its CUDA libraries",
		requirements: strings.Fields(`torch==2.7.1 torchvision==0.22.1 transformers==4.53.1 accelerate==1.8.1 datasets safetensors
			tensorboard`),
		bump: [2]string{"transformers==4.53.1", "transformers==4.53.2"},
		add:  "einops==0.8.1",

		once: true, brief: true,
	},
}

func names() (all []string) {
	for _, w := range workloads {
		all = append(all, w.name)
	}
	return all
}

// bumped and added are the requirements after a change.
func (w workload) bumped() []string {
	all := append([]string(nil), w.requirements...)
	for i, r := range all {
		if r == w.bump[0] {
			all[i] = w.bump[1]
		}
	}
	return all
}

func (w workload) added() []string { return append(w.bumped(), w.add) }

// anyTorch lets inlay take the torch that the index has, with its CUDA libraries,
// as the other builders do.
const anyTorch = "settings.docker.python_package_installer_args={torch-backend: none}"

// sources is how many modules a project has.
const sources = 500

// writeProject makes the project's directory, with a Dockerfile for those who
// need one. The builders get the same bytes.
func writeProject(dir string, requirements []string) error {
	files := map[string]string{
		"requirements.txt": strings.Join(requirements, "\n") + "\n",
		".dockerignore":    ".dockerignore\nDockerfile\n",
		"Dockerfile":       dockerfile,
		"main.py":          "print('hello')\n",
	}
	for i := range sources {
		files[fmt.Sprintf("app/part%d/module%d.py", i/25, i)] = strings.Repeat(fmt.Sprintf("def function_%d():\n    return %d\n\n", i, i), 40)
	}
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // a project's directory
			return err
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil { //nolint:gosec // a project's file
			return err
		}
	}
	return nil
}

// dockerfile does what inlay does, in the way that uv's own guide recommends:
// requirements in a layer of their own, uv's cache in a mount.
const dockerfile = `ARG PARENT
FROM ${PARENT}
ARG INDEX
COPY requirements.txt /tmp/requirements.txt
RUN --mount=type=cache,target=/root/.cache/uv UV_LINK_MODE=copy UV_DEFAULT_INDEX=${INDEX} uv pip install -q --system --break-system-packages -r /tmp/requirements.txt
WORKDIR /app
COPY . /app
`
