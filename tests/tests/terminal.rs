//! A person at a terminal, through the whole chain: job control, keys, sizes and statuses.

use tests::Node;

/// Plays that person: `type.py COMMAND` runs bash at a terminal of its own, types COMMAND there, and reads what is shown.
const PERSON: &str = r#"
import fcntl, os, pty, select, signal, struct, sys, termios, time
child, screen = pty.fork()
if child == 0:
    os.environ.update(PS1="OUT> ", HISTFILE="")
    os.execvp("bash", ["bash", "--norc", "--noprofile", "-i"])
seen = ""
def size(rows, columns):
    fcntl.ioctl(screen, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
def wait(text):
    global seen
    end = time.monotonic() + 20
    while text not in seen:
        left = end - time.monotonic()
        if left <= 0 or not select.select([screen], [], [], left)[0]:
            sys.exit("not seen: %r in %r" % (text, seen))
        try:
            data = os.read(screen, 4096)
        except OSError:
            sys.exit("hung up: %r in %r" % (text, seen))
        seen += data.decode(errors="replace")
    before, seen = seen.split(text, 1)
    return before
def keys(text):
    os.write(screen, text.encode())
def run(command, answer, prompt="IN> "):
    keys(command + "\n")
    wait(command)
    if answer:
        wait(answer)
    wait(prompt)
size(30, 50)
wait("OUT> ")
run("set +o emacs; stty size", "30 50", "OUT> ")
modes = termios.tcgetattr(screen)
keys(sys.argv[1] + "\n")
wait("IN> ")
run("stty size", "30 50")
size(41, 61)
# Bash asks for it between two commands.
run("stty size", "41 61")
def leads(name):
    for p in os.listdir("/proc"):
        try:
            if p.isdigit() and open("/proc/%s/comm" % p).read() == name + "\n":
                state, parent, group, session, tty, front = open("/proc/%s/stat" % p).read().rsplit(")", 1)[1].split()[:6]
                return state == "S" and group == front
        except OSError:
            pass
def in_front(name):
    end = time.monotonic() + 20
    while not leads(name):
        if time.monotonic() > end:
            sys.exit("not in front")
        time.sleep(0.01)
def sleep():
    keys("sleep 1000\n")
    wait("sleep 1000")
    in_front("sleep")
sleep()
keys("\x03"); wait("IN> ")
run("echo interrupted $?", "interrupted 130")
sleep()
keys("\x1a"); wait("Stopped"); wait("IN> ")
run("bg", "sleep 1000 &")
run("jobs", "Running")
keys("fg\n"); wait("fg"); wait("sleep 1000"); in_front("sleep")
keys("\x1a"); wait("Stopped"); wait("IN> ")
run("kill %1; kill -CONT %1; wait %1; echo killed $?", "killed 143")
run("echo $((40 + 2)); tty | tr / _", "42")
keys("cat\n"); wait("cat"); in_front("cat"); keys("a line\n"); wait("a line"); wait("a line"); keys("\x04"); wait("IN> ")
keys("exit 7\n"); wait("OUT> ")
run("echo status $?; stty size", "41 61", "OUT> ")
same = termios.tcgetattr(screen)
print("status and modes same" if same == modes else [same, modes])
keys("exit\n")
os.waitpid(child, 0)
"#;

#[test]
fn a_person_works_through_the_whole_chain() {
    let node = Node::new();
    node.sh(
        "cgset up --id foo memory.max=256Mi pids.max=50 | nsrun up --net --ipc --uts >foo.json
             mkbox up --copy bash,sleep,stty,cat,tty,tr --proc --dev app >app.json",
    )
    .succeeds();
    node.sh_with("cat >type.py", PERSON).succeeds();
    let shell = "--keep-env --env 'PS1=IN> ' -- bash --norc --noprofile -i";
    for last in [
        format!("nsrun drop {shell}"),
        format!("nsrun drop --user 1000 {shell}"),
        "env 'PS1=IN> ' bash --norc --noprofile -i".to_owned(),
    ] {
        let link = last.replace("env 'PS1=IN> ' bash", "bash");
        let before = if link == last { "" } else { "PS1='IN> ' " };
        let chain = format!(
            "{before}cgset exec -P foo.json app memory.max=64Mi -- nsrun exec -P foo.json --pid --mount -- mkbox exec -P app.json -- {link}"
        );
        node.sh_with("cat >chain", &chain).succeeds();
        node.sh("timeout 50 python3 type.py \"$(cat chain)\"")
            .succeeds()
            .prints("status and modes same");
    }
    node.sh("nsrun down <foo.json | cgset down >/dev/null; mkbox down <app.json >/dev/null; rm *.json type.py chain")
        .succeeds();
    node.becomes_as_it_was();
}
