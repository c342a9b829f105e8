#!/usr/bin/env bash
# weak_symbols.sh BUILD: a weak symbol compiled for AVX2, AVX-512 or AMX must name that ISA. Otherwise the linker may keep it
# for every CPU, and an older one fails on instructions that it does not have.
set -euo pipefail
build=$1
for isa in avx2 avx512 amx; do
  objects=()
  while read -r object; do # of sources that are still there: a build folder keeps all others
    source=${object##*gramless_"$isa".dir/}
    [ ! -f "csrc/${source%.o}" ] || objects+=("$object")
  done < <(find "$build" -path "*gramless_$isa.dir*" -name '*.o')
  if [ ${#objects[@]} -eq 0 ]; then
    [ "$(uname -m)" != x86_64 ] || { echo "no objects of $isa under $build" >&2; exit 1; }
    echo "$isa: not built on $(uname -m)"
    continue
  fi
  # DW.ref... is a pointer to the exception handler, not code.
  weak=$(nm -C --defined-only "${objects[@]}" | sed -nE 's/^[0-9a-f]+ [WVu] //p' | sort -u)
  common=$(grep -vE "gramless::$isa::|^DW\.ref\." <<<"$weak" || true)
  if [ -n "$common" ]; then
    printf '%s: weak symbols outside gramless::%s:\n%s\n' "$isa" "$isa" "$common" >&2
    exit 1
  fi
  echo "$isa: $(wc -l <<<"$weak") weak symbols in ${#objects[@]} objects, all of them its own"
done
