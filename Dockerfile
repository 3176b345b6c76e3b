# The image of compose.yaml: scheduler, workers and JupyterLab all run it.
# BASE is any Debian with a Python of 3.11 to 3.13 that has venv.
ARG BASE=python:3.13-slim

FROM ${BASE} AS build
RUN python3 -m venv /uv && /uv/bin/pip install --quiet --no-cache-dir uv==0.13.9
ENV UV_PROJECT_ENVIRONMENT=/opt/course UV_NO_CACHE=1 UV_PYTHON_DOWNLOADS=never
WORKDIR /build
COPY pyproject.toml uv.lock README.md ./
# "--extra gpu" adds RAPIDS.
ARG EXTRAS=""
RUN /uv/bin/uv sync --locked --quiet --no-default-groups --no-install-project ${EXTRAS}
COPY helpers helpers
RUN /uv/bin/uv sync --locked --quiet --no-default-groups --no-editable ${EXTRAS}

FROM ${BASE}
COPY --from=build /opt/course /opt/course
RUN useradd --create-home --uid 1000 learner \
 && install --directory --owner learner --mode 700 /tls /tls/scheduler /tls/worker /tls/client \
 && install --directory --owner learner /shared
ENV PATH=/opt/course/bin:$PATH COURSE_DATA=/shared/data PYTHONUNBUFFERED=1
USER learner
WORKDIR /home/learner
COPY --chown=learner README.md LICENSE ./
COPY --chown=learner docs docs
COPY --chown=learner images images
COPY --chown=learner course course
