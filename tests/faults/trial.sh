# One trial of the campaign: trial.sh STEPS PAUSE MODE NAME=VALUE...
#
# It appends a line to a file of its attempt's own when it begins and one when it ends, tells the campaign so by the pipe, and
# prints values that say whose they are. What it does follows from its trial's id alone: tests/faults/scripted.py says the same.
LC_ALL=C
steps=$1 pause=$2 mode=$3
shift 3
note="$COUNT/$TRIAL_ID-$KATIB_ATTEMPT"
echo "start $EPOCHREALTIME $$ $*" >>"$note"
# A retry is no further trial. Opened for both directions, a pipe without a reader holds nobody up.
[ "$KATIB_ATTEMPT" = 1 ] && word=start || word=retry
echo "$word" 1<>"$EVENTS"

# Its model says whose it is.
echo "$TRIAL_ID-$KATIB_ATTEMPT" >"$KATIB_MODEL_DIR"

key=$((16#${TRIAL_ID:1:8}))
((key % 5 == 0)) && ((steps *= 3))
code=0
if [ "$mode" = flaky ] && ((key % 16 == 15 || key % 4 >= KATIB_ATTEMPT)); then
  code=3 steps=$(((steps + 1) / 2))
fi
for ((step = 1; step <= steps; step++)); do
  printf -v acc '0.%010d%02d' "$key" "$step"
  mark=$(((key * 100 + KATIB_ATTEMPT) * 100 + step))
  if [ "$mode" = split ]; then
    # A line that comes in two pieces.
    printf 'mark=%s' "${mark:0:5}"
    sleep "$pause"
    echo "${mark:5} acc=$acc"
  else
    echo "mark=$mark acc=$acc"
    [ "$pause" = 0 ] || sleep "$pause"
  fi
done
echo "end $EPOCHREALTIME $code" >>"$note"
echo end 1<>"$EVENTS"
exit "$code"
