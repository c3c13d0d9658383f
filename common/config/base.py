"""What every model of the configuration is built on."""

from pydantic import BaseModel, ConfigDict


class Model(BaseModel):
    """No unknown keys, no silent conversions of what matters, and no value in an error's text."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
