# The service with the shipped model and without TensorFlow:
#   docker build -t emotion . && docker run --rm -p 127.0.0.1:8000:8000 emotion
# Values follow the image's name, as on a command line: docker run ... emotion 'hosts=["*"]' workers=4
# Another port is -p 127.0.0.1:9000:8000, not port=: inside it is 8000, where the health check asks.
FROM python:3.11.14-slim-bookworm AS build
WORKDIR /build
# The dependencies alone, so that this layer lasts until they change; the package installed with them is empty.
COPY pyproject.toml constraints.txt LICENSE ./
RUN touch README.md && python -m venv --without-pip /venv && \
    pip --python /venv/bin/python install --no-cache-dir --constraint constraints.txt '.[serve]'
WORKDIR /app
COPY conf/ conf/
COPY pipeline/ pipeline/
COPY champion/ champion/
# Bytecode now, as nothing can be written later; readable by any user, whatever the modes in the checkout were.
RUN python -m compileall -q pipeline && chmod -R a+rX,go-w .

FROM python:3.11.14-slim-bookworm
ENV PATH=/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1
WORKDIR /app
COPY --from=build /venv /venv
COPY --from=build /app /app
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/health/ready', timeout=4)"]
ENTRYPOINT ["python", "-m", "pipeline.serve", "host=0.0.0.0"]
