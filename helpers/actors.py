"""Sites of `helpers.federated` as actors on workers: opened, asked, lost, and opened again.

A `helpers.sites.Site` lives on a worker. Here is how the client reaches it: one task for each
question, which asks the actor where it lives, and nobody waits longer than a deadline.
"""

from concurrent.futures import CancelledError
from time import monotonic
from uuid import uuid4

import cloudpickle
from distributed import Actor, KilledWorker, wait
from distributed import TimeoutError as DaskTimeoutError

from helpers.admission import assign, workers_of
from helpers.sites import Site, ask


class Actors:
    """An actor for each site, each on a worker of its own.

    Parameters
    ----------
    client : distributed.Client
    loads : dict of str to callable
        The function of each site that loads its rows there.
    settings : tuple
        More arguments of `helpers.sites.Site`, and of its ``open``.
    workers : dict of str to str or int, optional
        The name of each site's worker; default: any.

    Attributes
    ----------
    lost : set of str
        Sites that are not ready.
    places : dict of str to str
        Address of each site's worker.
    opening, busy : dict of str to distributed.Future
        What nobody waits for: sites that load their rows, and sites that are still at work.
    losses : dict of str to Exception
        What the last loss of a site looked like from here, if anything.
    """

    def __init__(self, client, loads, settings, workers=None):
        self.client, self.loads = client, dict(loads)
        (*self._settings, self._classify), self._anywhere = settings, workers is None
        self._homes = assign(workers_of(client), loads, workers)
        self.lost, self.places, self.losses = set(loads), {}, {}
        self._actors, self.opening, self.busy, self.closed = {}, {}, {}, False

    def here(self):
        """Sites that can be asked now, in their order."""
        return [name for name in self.loads if name not in self.lost and name not in self.busy]

    def add(self, name, load, worker=None):
        """One more site; the next `open` finds it a worker."""
        self._homes[name] = {"name": worker, "nanny": None, "host": None}
        self.loads[name] = load
        self.lost.add(name)

    def open(self, until):
        """Open the sites that are lost and have a worker.

        Those that are opened now have until then. One that has had its time already is looked at,
        and nobody waits for it again.

        Returns
        -------
        found : dict of str to dict
            What the ready ones found.
        errors : dict of str to Exception
            Of those that could not load; they count as lost.
        """
        there, found, errors, new = workers_of(self.client), {}, {}, {}
        for name in [name for name in self.opening if self.places[name] not in there]:
            self.forget(name)
        for name, load in self.loads.items():
            place = self._place(name, there)
            if name in self.lost and name not in self.opening and place:
                self.places[name], self._homes[name] = place, self._homes[name] | there[place]
                self._actors[name] = self.client.submit(
                    Site, name, *self._settings, actor=True, pure=False,
                    key=f"site-{name}-{uuid4().hex}", workers=[place],
                )  # fmt: skip
                new[name] = self._submit(name, "open", (load, self._classify))
        old, self.opening = self.opening, self.opening | new
        ended = [*self._as_they_end(new, until), *self._as_they_end(dict(old), monotonic())]
        for name, future in ended:
            kind, value = self._outcome(name, future, until)
            if kind == "answer":
                found[name] = value
                self.lost.discard(name)
                del self.opening[name]
                continue
            if kind == "error":
                errors[name] = value
            self.forget(name)
        return self._in_order(found), self._in_order(errors)

    def ask(self, method, arguments, until, number=None):
        """Ask several sites at once.

        Parameters
        ----------
        method : str
        arguments : dict of str to tuple
            For each site that is asked.
        until : float
            As `time.monotonic` counts. Whoever has not answered by then is busy from now on.
        number : int, optional
            Of a round: the first report of drift ends it at all sites, and so does the deadline.

        Returns
        -------
        answers : dict of str to object
        errors : dict of str to Exception
            Each with a note that names its site. Both are in the order of the sites.
        """
        self.check_open()
        waiting = {name: self._submit(name, method, values) for name, values in arguments.items()}
        answers, errors, told = {}, {}, False
        for name, future in self._as_they_end(waiting, until):
            kind, value = self._outcome(name, future, until)
            if kind == "answer":
                answers[name] = value
            elif kind == "error":
                errors[name] = value
            elif kind == "lost":
                self.lost.add(name)
            if number and not told and kind == "answer" and _reports(value):
                self._stop(waiting, number)
                told = True
        if number:
            self._stop(waiting, number)
        self.busy |= waiting  # kept to see when they are free; the answers are not looked at
        return self._in_order(answers), self._in_order(errors)

    def tell(self, site, method, arguments, seconds):
        """Ask one site, which has to answer."""
        self.check_here(site)
        answers, errors = self.ask(method, {site: arguments}, monotonic() + seconds)
        if errors:
            raise errors[site]
        if site not in answers:
            raise RuntimeError(f"site {site} did not answer within {seconds:g} s, or is lost")
        return answers[site]

    def look(self):
        """Note which sites were lost, and which are free again."""
        self.check_open()
        there = workers_of(self.client)
        for name, actor in list(self._actors.items()):
            gone = actor.status not in ("finished", "pending") or self.places[name] not in there
            if gone and name not in self.opening:
                self.forget(name)
        self.busy = {name: future for name, future in self.busy.items() if not future.done()}

    def forget(self, name):
        """Give up a site's actor; it counts as lost."""
        known = (self.opening, self.busy, self._actors)
        futures = [futures.pop(name, None) for futures in known]
        self.client.cancel([future for future in futures if future is not None], force=True)
        self.lost.add(name)

    def handle(self, site):
        """A handle of a site's actor, made here: a worker that hangs would not send it.

        It speaks through the client that is current when it is made, which need not be ours.
        """
        with self.client.as_current():
            return Actor(Site, self.places[site], self._actors[site].key)

    def close(self):
        """Let go of all actors; the workers stay."""
        if not self.closed and self.client.status == "running":
            # The error of a site refers to its actor: to drop our futures is not enough.
            futures = [*self.opening.values(), *self.busy.values(), *self._actors.values()]
            self.client.cancel(futures, force=True)
        self.closed, self._actors, self.opening, self.busy = True, {}, {}, {}

    def check_open(self):
        """Raise ValueError after `close`."""
        if self.closed:
            raise ValueError("this federation is closed: its sites have forgotten everything")

    def check_here(self, site):
        """Raise ValueError for a site that cannot be asked."""
        if self.closed or site not in self.loads or site in self.lost:
            here = [] if self.closed else self.here()
            raise ValueError(f"no site {site!r} is here; there are {here}")

    def _submit(self, name, method, arguments):
        # Packed: a worker that cannot import what it gets would end, if Dask had to unpack it.
        return self.client.submit(
            ask, self._actors[name], method, cloudpickle.dumps(arguments), pure=False,
            key=f"{method}-{name}-{uuid4().hex}", workers=[self.places[name]],
        )  # fmt: skip

    def _as_they_end(self, waiting, until):
        """Yield each name and future as it ends, and take it out; stop when it is too late."""
        while waiting:
            seconds = max(until - monotonic(), 0.01)
            try:
                with self.client.as_current():  # else it looks for a default client
                    wait(list(waiting.values()), timeout=seconds, return_when="FIRST_COMPLETED")
            except (DaskTimeoutError, TimeoutError, CancelledError):
                pass  # who is cancelled has ended
            ended = [name for name, future in waiting.items() if future.done()]
            if not ended:
                return
            for name in ended:
                yield name, waiting.pop(name)

    def _outcome(self, name, future, until):
        """What became of a task at a site: "answer", "error", "late" or "lost", and the value.

        An error is the site's own as long as it does not say that the worker is gone. A worker may
        also stop before it has sent a result.
        """
        try:
            if future.status != "error":
                return "answer", future.result(timeout=max(until - monotonic(), 0.5))
            error = future.exception()
        except (DaskTimeoutError, TimeoutError):
            return "late", None
        except Exception as raised:
            error = raised
        if self._is_loss(name, error):
            self.losses[name] = error
            return "lost", error
        error.add_note(f"raised at site {name}")
        return "error", error

    def _is_loss(self, name, error):
        """Whether an error means that a worker is gone; Dask has no type of its own for it."""
        dasks = isinstance(error, KilledWorker) or "Worker holding Actor was lost" in str(error)
        return dasks or self.places[name] not in workers_of(self.client)

    def _stop(self, names, number):
        """Tell sites to end a round after the batch that they are in; wait for none of them."""
        for name in names:
            if self._actors[name].status == "finished":
                self.handle(name).stop(number)

    def _place(self, name, there):
        """Address of a free worker for a site: its own one, if that is back under any address."""
        taken = {self.places[n] for n in self.places if n not in self.lost or n in self.opening}
        free, home = sorted(set(there) - taken), self._homes[name]
        for key in ("name", "nanny"):
            for address in free:
                if there[address][key] is not None and there[address][key] == home.get(key):
                    return address
        others = [self._homes[n] for n in self.loads if n != name]
        for address in free:
            kept = any(there[address]["name"] == other["name"] for other in others)
            if not kept and (self._anywhere or there[address]["host"] == home["host"]):
                return address
        return None

    def _in_order(self, values):
        return {name: values[name] for name in self.loads if name in values}


def _reports(answer):
    return isinstance(answer, dict) and answer.get("reported") is True
