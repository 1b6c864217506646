"""Use cases of the model store.

A model of a study is for those who may read that study, and once the study is gone for those who may read all. Every other one,
which a client has saved by hand, is its saved study's owner's. Saved studies are known by their names, which several studies
may have and anybody may have been the first to save: who owns one sees no model of another's study by that.
"""

from collections.abc import Sequence
from dataclasses import replace

from katib.domain.caller import EVERYBODY, Caller, current_caller
from katib.domain.errors import InvalidArgumentError, NotFoundError, PermissionDeniedError
from katib.domain.models import SavedModel, SavedStudy
from katib.domain.names import is_id
from katib.domain.permissions import Access, sees_every_study, visible_to
from katib.domain.study import Study
from katib.domain.views import Page, every
from katib.manager.ports import StudyFilter
from katib.manager.service.checks import MAX_PAGE, page_size_of
from katib.manager.service.context import UseCases


class ModelUseCases(UseCases):
    def save_study(self, study: SavedStudy) -> None:
        _required("study_name", study.name)
        caller = current_caller()
        if caller is not EVERYBODY:
            study = self._owned_by(caller, study)
        self._context.models.save_study(study)

    def save_model(self, model: SavedModel, tensor_board: bool = False) -> None:
        _required("model.study_name", model.study_name)
        _required("model.trial_id", model.trial_id)
        if tensor_board and not _has_volume(model.model_path):
            raise InvalidArgumentError.of(
                "model.model_path", model.model_path, "expected VOLUME:PATH, so that a TensorBoard can be shown"
            )
        caller = current_caller()
        study = self._study_of(model)
        if study is not None:
            self.permissions.require_trial(caller, model.trial_id, Access.WRITE)
        elif not caller.unrestricted and (not self._owns_saved(caller, model.study_name) or self._is_of_a_study(model)):
            raise NotFoundError(f"no study {model.study_name} was saved")
        saved = replace(model, saved_at=self._context.now())
        try:
            self._context.models.save_model(saved)
        except NotFoundError:
            if study is None:
                raise
            # It was created only now: its project would come by itself in a moment.
            self._context.models.keep(study, ())
            self._context.models.save_model(saved)

    def saved_studies(self) -> Sequence[SavedStudy]:
        caller = current_caller()
        found = self._context.models.saved_studies()
        return found if sees_every_study(caller) else [study for study in found if self._sees_saved(caller, study)]

    def saved_models(self, study_name: str, page_size: int = 0, page_token: str = "") -> Page[SavedModel]:
        """With neither size nor token all of them, as 0.1's clients expect. A page may be shorter than asked for, where the
        caller may not see all that would be in it, but is empty only at the end."""
        _required("study_name", study_name)
        caller = current_caller()
        everything = not (page_size or page_token)
        size = MAX_PAGE if everything else page_size_of(page_size)
        found: list[SavedModel] = []
        while True:
            page = self._context.models.saved_models(study_name, size, page_token)
            found += self._visible(caller, study_name, page.items)
            page_token = page.next_token
            if not page_token or (found and not everything):
                break
        if not found and not sees_every_study(caller) and not self._owns_saved(caller, study_name):
            raise NotFoundError(f"no study {study_name} was saved")
        return Page(found, page_token)

    def saved_model(self, study_name: str, trial_id: str) -> SavedModel:
        _required("study_name", study_name)
        model = self._context.models.saved_model(study_name, _required("trial_id", trial_id))
        if not self._visible(current_caller(), study_name, [model]):
            raise NotFoundError(f"no model of trial {trial_id} was saved in study {study_name}")
        return model

    def _visible(self, caller: Caller, study_name: str, models: Sequence[SavedModel]) -> Sequence[SavedModel]:
        """Those of them that the caller may read."""
        if sees_every_study(caller):
            return models
        owns: bool | None = None
        found = []
        for model in models:
            access = self._access(caller, model.study_id)
            if access is None and model.study_id:
                sees = False  # whose it was is gone with the study
            elif access is None:
                if owns is None:
                    owns = self._owns_saved(caller, study_name)
                sees = owns
            else:
                sees = access >= Access.READ
            if sees:
                found.append(model)
        return found

    def _access(self, caller: Caller, study_id: str) -> Access | None:
        """None where there is no such study."""
        if not study_id:
            return None
        try:
            return self.permissions.of_study(caller, study_id)
        except NotFoundError:
            return None

    def _study_of(self, model: SavedModel) -> Study | None:
        """The one that the model's trial belongs to, where that and the name are those of a study that is there."""
        if not is_id(model.trial_id):
            return None
        try:
            study = self._storage.get_study(self.permissions.study_of(model.trial_id))
        except NotFoundError:
            return None
        return study if study.spec.name == model.study_name else None

    def _is_of_a_study(self, model: SavedModel) -> bool:
        """Whether there is one that the manager has kept or completed, whatever became of its study."""
        try:
            return self._context.models.saved_model(model.study_name, model.trial_id).study_id != ""
        except NotFoundError:
            return False

    def _owned_by(self, caller: Caller, study: SavedStudy) -> SavedStudy:
        there = self._saved(study.name)
        owner = study.owner or (there.owner if there and caller.unrestricted else caller.name)
        if caller.unrestricted:
            return replace(study, owner=owner)
        if there is not None and there.owner != caller.name:
            raise PermissionDeniedError(
                f"study_name: a study {study.name} was saved by another: choose another name, or ask an administrator"
            )
        if owner != caller.name:
            raise InvalidArgumentError.of("owner", owner, f"expected {caller.name} or nothing")
        return replace(study, owner=owner)

    def _sees_saved(self, caller: Caller, study: SavedStudy) -> bool:
        if study.owner == caller.name:
            return True
        # A study of this name is not enough: names are anybody's.
        filter_ = StudyFilter(study.name, visible_to=visible_to(caller))
        named = every(lambda token: self._storage.list_studies(filter_, MAX_PAGE, token))
        return any(self._context.models.kept_models(readable) for readable in named)

    def _owns_saved(self, caller: Caller, name: str) -> bool:
        there = self._saved(name)
        return there is not None and there.owner == caller.name

    def _saved(self, name: str) -> SavedStudy | None:
        return next((study for study in self._context.models.saved_studies() if study.name == name), None)


def _has_volume(path: str) -> bool:
    volume, separator, rest = path.partition(":")
    return bool(volume and separator and rest)


def _required(field: str, value: str) -> str:
    if not value or len(value) > 1000 or not value.isprintable():
        raise InvalidArgumentError.of(field, value, "expected 1 to 1000 printable characters")
    return value
