# The picture of a pipe, as SVG: each stage with what it has added to the record. From the records behind the stages, in order (jq -s),
# and their command lines (--args); $style is what the tools' own pictures have.

def line: 16; def width: 760; def margin: 24;

# What a reader wants of a value on one line.
def shown:
    if type == "array" and all(.[]; type == "object" and has("path")) then map(.type) | "join " + join(" ")
    elif type == "string" then . else tojson end;

# Keys of the specification with their values; of the tool's own, what it holds.
def added($before; $own):
    to_entries | map(
        .key as $key | $before[$key] as $was |
        if .value == $was then empty
        elif $key == $own then
            {key: $key, text: (.value | keys_unsorted | join(" "))},
            (.value.ips // empty | {key: "\($key).ips", text: (map(.address) | join(" "))})
        elif (.value | type) == "object" then
            .value | to_entries[] | select(.value != ($was // {})[.key]) | {key: "\($key).\(.key)", text: (.value | shown)}
        else {key: $key, text: (.value | shown)} end);

def text($class; $x; $y): "<text class=\"\($class)\" x=\"\($x)\" y=\"\($y)\">\(@html)</text>";

# Boxes below each other, each as high as it has lines, with an arrow to the next.
. as $records
| [$ARGS.positional, [range(length)]] | transpose
| map(.[1] as $at | {
    command: .[0],
    keys: ($records[$at] | keys | length),
    lines: ($records[$at] | added(if $at == 0 then {} else $records[$at - 1] end; $ARGS.positional[$at] | split(" ")[0]))
  })
| reduce .[] as $stage ({y: 58, parts: []};
    ($stage.lines | length * line + 38) as $height | .y as $y
    | .parts += (
        [if $y > 58 then
            "<path class=\"arrow\" marker-end=\"url(#head)\" d=\"M\(margin + 40) \($y - 34)L\(margin + 40) \($y)\"/>" else empty end,
         "<rect class=\"box\" x=\"\(margin)\" y=\"\($y)\" width=\"\(width)\" height=\"\($height)\" rx=\"5\"/>",
         ($stage.command | text("title"; margin + 10; $y + 19))]
        + [$stage.lines | to_entries[] | ($y + 42 + .key * line) as $at
            | (.value.key | text("entrance"; margin + 10; $at)), (.value.text | text("note"; margin + 190; $at))]
        + ["the record, \($stage.keys) keys" | text("end"; margin + 50; $y + $height + 20)])
    | .y += $height + 34)
| "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"\(width + 2 * margin)\" height=\"\(.y)\" viewBox=\"0 0 \(width + 2 * margin) \(.y)\">",
  "<title>the pipe that makes a pod</title>", $style,
  "<rect class=\"paper\" width=\"100%\" height=\"100%\"/>",
  ("what each stage of the pipe adds to the record" | text("title"; margin; 30)),
  .parts[], "</svg>"
