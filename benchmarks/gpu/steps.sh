# Sourced by correctness.sh and speed.sh, which set `name` (of the files) and `budget` (seconds of all steps).
#
# Every step may take the smaller of its own limit and the remaining time. Its output, status and time are packed into
# $OUT/$name.tgz after the step, so that a killed run keeps all steps but the last.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit
export PYTHONUNBUFFERED=1 CUPY_CACHE_IN_MEMORY=1 PIP_DISABLE_PIP_VERSION_CHECK=1
python=${PYTHON:-python3}
out=${OUT:?the environment variable OUT names the folder for the results}
mkdir -p "$out"
out=$(cd "$out" && pwd)
rehearse=0 device=cuda wheel=
while [ $# -gt 0 ]; do
  case $1 in
    --rehearse) rehearse=1 ;;
    --wheel) wheel=${2:?--wheel needs a file} && shift ;;
    *) echo "$name.sh: unknown argument $1" >&2 && exit 2 ;;
  esac
  shift
done
if [ $rehearse = 1 ]; then
  device=cpu budget=${GPU_REHEARSAL_SECONDS:-1500}
  if [ -n "${GRAMLESS_CUDA_MODULES:-}" ]; then device=emulated; fi
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
logs=$scratch/$name
mkdir -p "$logs"
printf 'name\tstatus\tseconds\tlimit\n' >"$logs/steps.tsv"
printf '{"script": "%s", "rehearsal": %s, "device": "%s", "budget": %s}\n' "$name" \
  "$([ $rehearse = 1 ] && echo true || echo false)" "$device" "$budget" >"$logs/run.json"
failed=()

# Longer logs keep only their beginning and their end, so that all results together stay small.
most_bytes=2000000
shorten() {
  local file=$1
  [ "$(stat -c %s "$file")" -gt $((2 * most_bytes)) ] || return 0
  { head -c $most_bytes "$file" && printf '\n... left out ...\n' && tail -c $most_bytes "$file"; } >"$file.short"
  mv "$file.short" "$file"
}

pack() {
  tar czf "$scratch/packed.tgz" -C "$scratch" "$name" && mv "$scratch/packed.tgz" "$out/$name.tgz"
}

# step NAME LIMIT COMMAND...
step() {
  local step=$1 limit=$2 started=$SECONDS left=$((budget - SECONDS)) status
  shift 2
  if [ $left -le 5 ]; then
    printf '%s\tskipped\t0\t%s\n' "$step" "$limit" >>"$logs/steps.tsv"
    echo "$step: skipped, no time is left"
    failed+=("$step")
    pack
    return 1
  fi
  if [ $rehearse = 1 ]; then limit=$left; fi # on a slow machine
  [ "$limit" -lt $left ] || limit=$left
  timeout --kill-after=5 "$limit" "$@" >"$logs/$step.log" 2>&1
  status=$?
  printf '%s\t%s\t%s\t%s\n' "$step" "$status" $((SECONDS - started)) "$limit" >>"$logs/steps.tsv"
  shorten "$logs/$step.log"
  tail -n 5 "$logs/$step.log"
  echo "$step: status $status after $((SECONDS - started)) s"
  [ $status = 0 ] || failed+=("$step")
  pack
  return $status
}

# finish: prints the last line; exits with 1 unless every step succeeded.
finish() {
  pack
  cat "$logs/steps.tsv"
  if [ ${#failed[@]} -gt 0 ]; then
    echo "$name: ${#failed[@]} steps failed: ${failed[*]}"
    exit 1
  fi
  echo "$name: all steps succeeded after $SECONDS s"
  exit 0
}

