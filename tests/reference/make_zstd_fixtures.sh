#!/usr/bin/env bash
# Writes tests/fixtures/corpora/*.zst with the zstd command line tool 1.5: 5,000 lines in frames of several kinds.
set -euo pipefail
cd "$(dirname "$0")/../fixtures/corpora"
lines() { seq "$1" "$2" | awk '{ printf "{\"text\":\"document %d, %d words\"}\n", $1, ($1 * 7919) % 10007 }'; }
# A frame with a checksum and its size, a skippable frame, one without either, and one of a single segment.
lines 1 3000 > part1; lines 3001 4999 > part2; lines 5000 5000 > part3
zstd -q -9 --check part1 -c > frames.jsonl.zst
printf '\x52\x2a\x4d\x18\x05\x00\x00\x00hello' >> frames.jsonl.zst
zstd -q -1 --no-check < part2 >> frames.jsonl.zst
zstd -q --single-thread part3 -c >> frames.jsonl.zst
# Blocks of one repeated byte (RLE), and of bytes that do not compress (raw).
{ printf '{"text":"'; head -c 300000 /dev/zero | tr '\0' 'a'; printf '"}\n'; } | zstd -q -c > repeated.jsonl.zst
zstd -q --long=30 --no-check -c < <(cat part1) > window.jsonl.zst
rm part1 part2 part3
