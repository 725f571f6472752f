"""The three campaigns: kills at random times, a crash at every named point, and builds that must not pass."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Final

import msgspec
from msgspec import Struct

from tests.faults.kill.broken import BUILDS
from tests.faults.kill.checker import Checker
from tests.faults.kill.life import Spec
from tests.faults.kill.nursery import Ended, Nursery
from tests.faults.kill.points import EXIT_CODE, PHASES, Aim

__all__ = ["ANYWHERE", "Crash", "Kills", "crash_at", "faults_of", "kill_often", "tell"]

ANYWHERE: Final = "anywhere"

_KILLED: Final = -9
_LINGER_S: Final = 0.03
_SPREAD_S: Final = 0.035  # after the point was reached: some kills come when the life has gone on
_LIFE_S: Final = 0.6  # how long a life that is killed anywhere may have lived
_LIVES_MAX: Final = 6  # until a point must have been reached
_TRIES: Final = 4  # to catch a broken build

Progress = Callable[[str], None]


class Kills(Struct):
    """What came of a row of kills."""

    checker: Checker
    lives: int = 0
    kills: int = 0
    phases: Counter[str] = msgspec.field(default_factory=Counter)  # kills that hit the phase they were aimed at
    missed: int = 0  # kills that came when the phase was over; they count nowhere else
    reached: set[str] = msgspec.field(default_factory=set)


class _Lives:
    """The lives in one folder, one after the other, each looked at by the checker."""

    def __init__(self, nursery: Nursery, folder: Path, seed: int, broken: str = "") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.checker = Checker(folder, seed)
        self.count = 0
        self._nursery = nursery
        self._folder = folder
        self._seed = seed
        self._broken = broken

    def next(self, runs: int, aim: Aim | None = None, kill_after_s: float | None = None) -> Ended:
        self.count += 1
        if aim is not None and aim.act == "linger":  # each of these counts its own hits
            (self._folder / f"hits {aim.point}").unlink(missing_ok=True)
        spec = Spec(str(self._folder), self.count, self._seed, runs, aim, self._broken)
        ended = self._nursery.live(spec, kill_after_s=kill_after_s)
        expected = {0, EXIT_CODE if kill_after_s is None else _KILLED}
        if ended.is_hung:
            self.checker.fault("failed", f"life {self.count} hung")
        elif ended.status not in expected:
            error = self._folder / f"life-{self.count}.error"
            text = error.read_text() if error.exists() else ""
            self.checker.fault("failed", f"life {self.count} ended with {ended.status} {text}")
        self.checker.after_life(self.count)
        return ended

    def last(self) -> None:
        """One that nobody disturbs, and a look at everything."""
        if self.next(1).status == 0:
            self.checker.at_end()


def kill_often(nursery: Nursery, folder: Path, seed: int, kills: int, progress: Progress) -> Kills:
    """Kill lives at random times, each aimed at one of the phases in turn, on the same files all the time."""
    random = Random(seed)
    lives = _Lives(nursery, folder, seed)
    found = Kills(lives.checker)
    while found.kills < kills:
        phase = min((*PHASES, ANYWHERE), key=lambda name: found.phases[name])
        if phase == ANYWHERE:
            ended = lives.next(30, kill_after_s=random.uniform(0, _LIFE_S))
        else:
            point = random.choice(PHASES[phase])
            aim = Aim(point, _hit(phase, point, random), "linger", _LINGER_S)
            runs = 1 if phase in ("draining", "closing") else 12
            ended = lives.next(runs, aim, random.uniform(0, _SPREAD_S))
            if ended.was_reached:
                found.reached.add(point)
        if ended.status == _KILLED:
            found.kills += 1
            if phase == ANYWHERE or ended.was_there:
                found.phases[phase] += 1
            else:
                found.missed += 1
        progress(f"{found.kills} of {kills} kills")
    lives.last()
    found.lives = lives.count
    return found


def _hit(phase: str, point: str, random: Random) -> int:
    """Points that are passed once in a life, or seldom, are hit at once; others some time."""
    if phase in ("opening", "restoring", "draining", "closing", "rotation"):
        return 1
    if phase in ("burying", "retention", "catching up", "first reads"):
        return random.randint(1, 3)
    return random.randint(1, 40)


class Crash(Struct, frozen=True):
    """What came of a crash at a point."""

    point: str
    hit: int
    was_reached: bool
    lives: int
    checker: Checker


def crash_at(nursery: Nursery, folder: Path, seed: int, point: str, hit: int) -> Crash:
    """Live until the point is reached for the `hit`th time, die there, and live on."""
    lives = _Lives(nursery, folder, seed)
    aim = Aim(point, hit, "exit")
    was_reached = False
    while not was_reached and lives.count < _LIVES_MAX:
        was_reached = lives.next(2 + 4 * lives.count, aim).status == EXIT_CODE  # the more, the likelier
    lives.last()
    return Crash(point, hit, was_reached, lives.count, lives.checker)


def faults_of(nursery: Nursery, folder: Path, seed: int, name: str) -> Sequence[str]:
    """What a broken build is caught at; nothing when it passes all checks, several times over.

    When a sink lags or a batch is cut depends on how the processes are scheduled, so one pass shows nothing.
    """
    build = BUILDS[name]
    if build.scenario:
        return tell(nursery, folder, build.scenario, name)
    for number, deaths in enumerate(build.deaths * _TRIES):
        lives = _Lives(nursery, folder / str(number), seed + number, name)
        for point, hit in deaths:
            lives.next(3, Aim(point, hit, "exit"))
        if not lives.checker.counts:
            lives.last()
        if lives.checker.counts:
            return lives.checker.samples
    return ()


def tell(nursery: Nursery, folder: Path, scenario: str, broken: str = "") -> Sequence[str]:
    """What goes wrong in a scenario; nothing when all goes well."""
    folder.mkdir(parents=True, exist_ok=True)
    ended = nursery.live(Spec(str(folder), 1, 0, 0, None, broken, scenario))
    return () if ended.status == 0 else (folder / "life-1.error").read_text().splitlines()[-1:]
